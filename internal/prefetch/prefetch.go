//go:build amd64 || arm64

// Package prefetch asks the processor for memory before it is needed. A load that has to wait
// holds up what comes behind it, a few hundred instructions on; a prefetch holds up nothing.
package prefetch

import "unsafe"

// Line asks for the line of the processor's cache that p points into. p may be any address:
// one that can't be read is no fault.
//
//go:noescape
func Line(p unsafe.Pointer)

// Lines asks for n lines: those of 64 bytes behind base whose numbers are the uint32 at at, and the next
// ones stride bytes on each, shifted to the right.
//
//go:noescape
func Lines(base unsafe.Pointer, at *uint32, stride, n uintptr, shift uint)
