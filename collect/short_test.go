package collect

import (
	"syscall"
	"testing"
)

// TestShort: keys of every length at every end of memory, where nothing behind them can be read, and with
// other bytes around them.
func TestShort(t *testing.T) {
	const page = 4 << 10
	mem, err := syscall.Mmap(-1, 0, 2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(mem) //nolint:errcheck // a test's
	for i := range mem {
		mem[i] = byte(i*7 + 1)
	}
	if err := syscall.Mprotect(mem[page:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	for n := range inline + 1 {
		for end := page - 40; end <= page; end++ {
			key := mem[end-n : end : end]
			var want [2]uint64
			for i, c := range key {
				want[i/8] |= uint64(c) << (56 - 8*(i%8))
			}
			if hi, mid := short(key); hi != want[0] || mid != want[1] {
				t.Errorf("%d bytes up to %d: %x %x, want %x", n, end, hi, mid, want)
			}
			if hi, mid := slowShort(key); hi != want[0] || mid != want[1] {
				t.Errorf("slowly, %d bytes up to %d: %x %x, want %x", n, end, hi, mid, want)
			}
		}
	}
	if hi, mid := short(nil); hi != 0 || mid != 0 {
		t.Errorf("nothing: %x %x", hi, mid)
	}
}
