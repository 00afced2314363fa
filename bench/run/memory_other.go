//go:build !linux

package main

const maxrssUnit = 1 // macOS counts bytes

// watchMemory sees nothing here: the peak is that of the largest process.
func watchMemory(int) (peak func() int64) { return func() int64 { return 0 } }
