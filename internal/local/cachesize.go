package local

import (
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// defaultCacheSize is a fifth of what the store in dir could grow to: the free bytes of
// its file system, and those that it has. 0, no bound, if that can't be found out.
func defaultCacheSize(dir string) int64 {
	var st unix.Statfs_t
	at := dir
	for unix.Statfs(at, &st) != nil { // the folder may have to be made yet
		up := filepath.Dir(at)
		if up == at {
			return 0
		}
		at = up
	}
	free := int64(st.Bavail) * int64(st.Bsize) //nolint:unconvert // types differ between systems
	var has int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it may not be there yet, or change
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			has += info.Size()
		}
		return nil
	})
	if err != nil || free <= 0 {
		return 0
	}
	return (free + has) / 5
}

// volumeCap is the size of a store's volumes: small beside its bound, since a volume is
// collected as a whole and needs room for what is live in it meanwhile.
func volumeCap(cacheSize int64) int64 {
	const least, most = 256 << 10, 1 << 30
	if cacheSize <= 0 {
		return most
	}
	return min(max(cacheSize/16, least), most)
}
