package worker

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/mrd-io/mr"
)

// ErrBinary is in the error about a kept job binary whose bytes have changed. What it made would go on
// record under the digest of the right one, so it is not run.
var ErrBinary = errors.New("the binary is damaged")

// CheckBinary reads a kept job binary and compares it with the digest that it is kept under.
func CheckBinary(path string, want mr.Digest) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := mr.Digest(h.Sum(nil)); got != want {
		return mr.Errorf(mr.Failed, "%s: its bytes changed on the disk, their digest is %s now; run the job once more from where it came, which brings it back: %w", path, got.Short(), ErrBinary)
	}
	return nil
}

// check makes sure, once, that the binary of spec is what it is said to be. One of unknown digest may be
// anything, and so may one that is not there: starting it will say so.
func (c *Children) check(spec *childSpec) error {
	key := spec.path + " " + spec.digest.String()
	c.mu.Lock()
	checked := c.checked[key]
	c.mu.Unlock()
	if checked || spec.digest.IsZero() {
		return nil
	}
	switch err := CheckBinary(spec.path, spec.digest); {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case errors.Is(err, ErrBinary):
		return err
	case err != nil:
		return fmt.Errorf("reading job binary: %w", err)
	}
	if script, err := isScript(spec.path); err != nil {
		return fmt.Errorf("reading job binary: %w", err)
	} else if script {
		return mr.Errorf(mr.Usage, "%s is a script: what it starts may change, and outputs are kept under the digest of the script alone; name the program that it starts", spec.path)
	}
	c.mu.Lock()
	if len(c.checked) >= maxKnown {
		clear(c.checked)
	}
	c.checked[key] = true
	c.mu.Unlock()
	return nil
}

// isScript reports whether another program would execute the file at path.
func isScript(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // read only
	var head [2]byte
	n, err := io.ReadFull(f, head[:])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return string(head[:n]) == "#!", err
}
