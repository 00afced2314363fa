package store

import (
	"errors"
	"os"
	"testing"
)

// A read that fails for want of memory, of a descriptor or of a permission says nothing about a
// volume: its runs are not lost, and it is read again.
func TestFailedReadsAreNoDamage(t *testing.T) {
	s, err := Open(t.TempDir(), Options{InlineLimit: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	w := s.CreateRun()
	if err := w.WriteBlock(make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	id, err := w.Seal(t.Context())
	if err == nil {
		err = s.Update(func(tx *Tx) error { return tx.CommitRun(id) })
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenRun(id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	sound := r.vol.bf.f
	blind, err := os.OpenFile(r.vol.path, os.O_WRONLY, 0) // each read is refused
	if err != nil {
		t.Fatal(err)
	}
	defer blind.Close()

	r.vol.bf.f = blind
	if _, err := r.ReadBlock(0, nil); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("the header can't be read: %v", err)
	}
	r.vol.bf.f = sound
	b, err := r.vol.begin(false)
	if err != nil {
		t.Fatal(err)
	}
	r.vol.bf.f = blind
	if _, _, err := r.vol.readIn(b, new(pages), blobKey(nil, r.rec.place, 0), r.Bytes(), nil); err == nil || isDamage(err) {
		t.Errorf("the pages can't be read: %v", err)
	}
	if err := b.Rollback(); err != nil {
		t.Fatal(err)
	}
	r.vol.bf.f = sound
	if _, err := r.ReadBlock(0, nil); err != nil || r.vol.retired {
		t.Errorf("read again: %v; nothing more is appended: %v", err, r.vol.retired)
	}
}
