//go:build !linux && !darwin

package engine

func exchange(a, b string) error { return swap(a, b) }

// mountRoot is told by devices alone here.
func mountRoot(string) bool { return false }
