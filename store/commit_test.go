package store

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"unsafe"
)

// TestSettle takes a commit whose last sync failed, and one whose pages could not be
// written: the first has happened, and is made durable; the second has not.
func TestSettle(t *testing.T) {
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cause := errors.New("input/output error")

	b, err := s.catalog.Load().db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	txid := b.ID()
	if err := b.Bucket([]byte(Meta)).Put([]byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := s.settle(b, txid, cause); err != nil {
		t.Errorf("a visible transaction is settled with %v", err)
	}
	if err := s.settle(b, txid+2, cause); !errors.Is(err, cause) || errors.Is(err, ErrUncertain) {
		t.Errorf("a transaction that is not there is settled with %v", err)
	}
	if err := s.Update(func(tx *Tx) error { return tx.Put(Meta, []byte("k"), []byte("w")) }); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestWedged takes a store in which bbolt could not even roll back: it must refuse
// further writes instead of waiting for bbolt's lock, still read, and close.
func TestWedged(t *testing.T) {
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	put := func(tx *Tx) error { return tx.Put(Meta, []byte("k"), []byte("v")) }
	if err := s.Update(put); err != nil {
		t.Fatal(err)
	}
	s.wedged.Store(true)
	if err := s.Update(put); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("update: %v", err)
	}
	if err := s.View(func(tx *Tx) error {
		if string(tx.Get(Meta, []byte("k"))) != "v" {
			t.Error("the record is gone")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestRevive takes the memory map from bbolt, as a file that grows without enough address
// space does: bbolt refuses everything from then on, and the store opens it again.
func TestRevive(t *testing.T) {
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put := func(tx *Tx) error { return tx.Put(Meta, []byte("k"), []byte("v")) }
	if err := s.Update(put); err != nil {
		t.Fatal(err)
	}
	old := s.catalog.Load()
	data := reflect.ValueOf(old.db).Elem().FieldByName("data")
	*(*unsafe.Pointer)(unsafe.Pointer(data.UnsafeAddr())) = nil
	if err := s.Update(put); err == nil {
		t.Fatal("bbolt does not miss its map")
	}
	if err := s.settle(nil, 1<<40, errors.New("cannot allocate memory")); err == nil {
		t.Error("a commit that failed is settled as done")
	}
	if s.catalog.Load() == old {
		t.Error("the catalog was not opened again")
	}
	if err := s.Update(put); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A process that ends once the catalog has its name leaves a store that can be read.
func TestNewCatalogIsWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := createCatalog(dir); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
