//go:build !linux

package input

// calm is for Linux only.
func (kernel) calm(int, int64, int64) {}
