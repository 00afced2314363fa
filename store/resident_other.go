//go:build !linux

package store

// forgetPages is for Linux: see there.
func (bf *boltFile) forgetPages(int64) {}

// uncache is for Linux, too.
func (bf *boltFile) uncache(extent) {}
