package corpus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	treeMedian = 4096
	treeFolder = 100 // files to a folder
)

// Tree makes the given number of text files below dir, 100 to a folder, and returns their bytes. Sizes
// are log-normal: median 4 KiB, sigma 1.2, which makes the mean about 8 KiB.
func Tree(dir string, p Profile, seed uint64, files int) (int64, error) {
	t, err := newText(p, seed)
	if err != nil {
		return 0, err
	}
	sizes := newRandom(^seed)
	var total int64
	for i := range files {
		folder := filepath.Join(dir, fmt.Sprintf("%02d", i/treeFolder/50), fmt.Sprintf("%02d", i/treeFolder%50))
		if i%treeFolder == 0 {
			if err := os.MkdirAll(folder, 0o777); err != nil {
				return total, err
			}
		}
		size := logNormal(&sizes)
		if err := writeFile(filepath.Join(folder, fmt.Sprintf("%06d.txt", i)), t, size); err != nil {
			return total, err
		}
		total += size
	}
	return total, nil
}

func writeFile(path string, t *text, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(stream(f, size, t.line), f.Close())
}

// logNormal draws a file size, from 1 byte to a few MB.
func logNormal(r *random) int64 {
	// Twelve uniform numbers add up to a normal one of variance 1, near enough out to 4 sigma.
	sum := int64(-6 << 16)
	for range 3 {
		for x, k := r.next(), 0; k < 4; k++ {
			sum += int64(x & 0xffff)
			x >>= 16
		}
	}
	// 2^(sum·1.2/ln 2): octaves by shifting, between them a straight line.
	e := (sum*443 + 1<<31) >> 16 // 256ths of an octave, 443 = 1.2/ln 2 · 256
	e -= 1 << 31 >> 16
	octave, part := e>>8, e&255
	size := int64(treeMedian) * (256 + part)
	if octave < 0 {
		return max(1, size>>(8-octave))
	}
	return size << octave >> 8
}
