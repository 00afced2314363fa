//go:build !linux && !darwin

package engine

func exchange(a, b string) error { return swap(a, b) }
