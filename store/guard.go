package store

import (
	"fmt"
	"runtime/debug"
)

// panicked is a panic turned into an error.
type panicked struct {
	reason any
	fault  bool // a bad memory access: a page of a mapped file that isn't there
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.reason) }

// guard runs fn and turns a panic into a *panicked error, and so a fault in a mapped
// file. bbolt asserts by panicking and reads through a map, so every call of it on
// a file that may be damaged goes through here. A fault is only caught on fn's own
// goroutine.
func guard(fn func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if p := recover(); p != nil {
			_, fault := p.(interface{ Addr() uintptr })
			err = &panicked{reason: p, fault: fault}
		}
	}()
	return fn()
}
