//go:build !amd64 && !arm64

// Package prefetch asks the processor for memory before it is needed, where there is an
// instruction for it that is written down here.
package prefetch

import "unsafe"

// Line does nothing on this processor.
func Line(unsafe.Pointer) {}

// Lines does nothing on this processor.
func Lines(base unsafe.Pointer, at *uint32, stride, n uintptr, shift uint) {}
