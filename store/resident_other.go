//go:build !linux

package store

// forgetPages is for Linux: see there.
func (bf *boltFile) forgetPages(int64) {}
