package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// linesDigest stands for the set of lines, each with how often it comes, whatever their order: the sum of
// their hashes. It says as much as a digest of the sorted lines would, without sorting them. Digests of one
// process can be compared.
type linesDigest struct {
	seeds [2]maphash.Seed
	sums  [2]uint64
	lines int64
}

func (d *linesDigest) add(line []byte) {
	for i, s := range d.seeds {
		d.sums[i] += maphash.Bytes(s, line)
	}
	d.lines++
}

// digester makes digests that can be compared.
type digester struct{ seeds [2]maphash.Seed }

func newDigester() digester { return digester{[2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}} }

// lines digests files as sets of lines. Each line goes through edit first, if there is one.
func (g digester) lines(edit func(line []byte) []byte, paths ...string) (string, error) {
	d := linesDigest{seeds: g.seeds}
	for _, path := range paths {
		err := eachLine(path, func(line []byte) {
			if edit != nil {
				line = edit(line)
			}
			d.add(line)
		})
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d lines %016x%016x", d.lines, d.sums[0], d.sums[1]), nil
}

func eachLine(path string, f func(line []byte)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read from
	s := bufio.NewScanner(file)
	s.Buffer(make([]byte, 1<<20), 1<<30)
	for s.Scan() {
		f(s.Bytes())
	}
	return s.Err()
}

// uniqLine turns a line of uniq -c, "   n word", into "word TAB n".
func uniqLine(line []byte) []byte {
	n, word, _ := bytes.Cut(bytes.TrimLeft(line, " "), []byte(" "))
	return slices.Concat(word, []byte("\t"), n)
}

// bytesDigest digests files, one after the other, as they are.
func bytesDigest(paths ...string) (string, error) {
	h := sha256.New()
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return "", err
		}
	}
	return "sha256 " + hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// parts lists an output folder's parts in order.
func parts(output string) ([]string, error) {
	if _, err := os.Stat(filepath.Join(output, "_SUCCESS")); err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(output, "part-*"))
	slices.Sort(paths)
	return paths, err
}
