//go:build !amd64

package collect

// short returns a key of at most 16 bytes as two numbers, as window does.
func short(key []byte) (hi, mid uint64) { return slowShort(key) }
