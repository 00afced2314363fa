package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"syscall"
)

// This file reads bbolt's pages without trusting them. bbolt follows page numbers and
// offsets through its memory map unchecked: on a damaged file that is a fault, or
// a recursion without end, which no recover stops. Here every bound is checked and
// every byte is read with ReadAt, so damage is an error.
//
// bbolt's format, version 2, in the machine's byte order; sizes in bytes:
//
//	page     id 8 | flags 2 | count 2 | overflow 4 | elements and data …   (1+overflow) × page size
//	meta     magic 4 | version 4 | page size 4 | flags 4 | root 8 | sequence 8 |
//	         freelist 8 | high water 8 | txid 8 | fnv64a of the above 8       pages 0 and 1
//	branch   count × (pos 4 | key size 4 | page 8), then the keys
//	leaf     count × (flags 4 | pos 4 | key size 4 | value size 4), then key, value, …
//	freelist count × page 8 (count 0xFFFF: the first 8 bytes are the count)
//	bucket   a leaf value: root 8 | sequence 8; root 0: an inline leaf page follows
//
// pos counts from the element's own first byte.
const (
	pageHeader = 16
	metaSize   = 64
	elemSize   = 16

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketLeaf   = 0x01

	boltMagic   = 0xED0CDAED
	boltVersion = 2
	noFreelist  = ^uint64(0)
	maxDepth    = 32
)

var errBadPage = errors.New("bad page")

// meta is what a bbolt file says about itself.
type meta struct {
	pageSize  int
	root      uint64
	freelist  uint64
	highWater uint64 // pages at or above it are not in use
	txid      uint64
}

// readMeta returns the newer valid meta of a bbolt file of the given size.
func readMeta(r io.ReaderAt, size int64) (meta, error) {
	var best meta
	var failed error // of a read that says nothing about the file
	found := false
	take := func(off int64) {
		var b [pageHeader + metaSize]byte
		if _, err := r.ReadAt(b[:], off); err != nil {
			if !unreadable(err) {
				failed = err
			}
			return
		}
		if m, err := parseMeta(b[pageHeader:]); err == nil && (!found || m.txid > best.txid) {
			best, found = m, true
		}
	}
	take(0)
	for off := int64(1024); off <= 64<<10 && !(found && off > int64(best.pageSize)); off *= 2 {
		take(off)
	}
	if !found && failed != nil {
		return meta{}, fmt.Errorf("read the header: %w", failed)
	}
	if !found {
		return meta{}, fmt.Errorf("%w: no valid header", errBadPage)
	}
	if need := int64(best.highWater) * int64(best.pageSize); size < need {
		return meta{}, fmt.Errorf("%w: the file has %d bytes and should have at least %d", errBadPage, size, need)
	}
	if best.root >= best.highWater || best.freelist != noFreelist && best.freelist >= best.highWater {
		return meta{}, fmt.Errorf("%w: header points beyond the file", errBadPage)
	}
	return best, nil
}

func parseMeta(b []byte) (meta, error) {
	h := fnv.New64a()
	h.Write(b[:metaSize-8])
	le := binary.NativeEndian
	m := meta{
		pageSize:  int(le.Uint32(b[8:])),
		root:      le.Uint64(b[16:]),
		freelist:  le.Uint64(b[32:]),
		highWater: le.Uint64(b[40:]),
		txid:      le.Uint64(b[48:]),
	}
	ok := le.Uint32(b) == boltMagic && le.Uint32(b[4:]) == boltVersion && le.Uint64(b[56:]) == h.Sum64() &&
		m.pageSize >= 512 && m.pageSize <= 64<<10 && m.pageSize&(m.pageSize-1) == 0 && m.highWater < 1<<48
	if !ok {
		return meta{}, errBadPage
	}
	return m, nil
}

// pages reads a bbolt file page by page.
type pages struct {
	r         io.ReaderAt
	pageSize  int
	highWater uint64
	scratch   []byte // of the last page read; a pages value serves one goroutine
}

// page is the head of one page: its elements, and those of its keys that lie within it.
type page struct {
	id     uint64
	off    int64 // of the page in the file
	length int64 // with its overflow
	flags  uint16
	count  int
	head   []byte // the first bytes; valid until the next page is read
}

// extent is where a value lies in its file.
type extent struct {
	off  int64
	size int
}

// node returns page id of a tree: a leaf, or a branch with children.
func (p *pages) node(id uint64) (page, error) {
	pg, err := p.read(id)
	if err != nil {
		return page{}, err
	}
	if pg.flags != leafPage && (pg.flags != branchPage || pg.count == 0) {
		return page{}, fmt.Errorf("%w %d: flags %#x and %d elements in a tree", errBadPage, id, pg.flags, pg.count)
	}
	return pg, nil
}

// read returns page id, which may be one of a tree or a freelist's.
func (p *pages) read(id uint64) (page, error) {
	if id < 2 || id >= p.highWater {
		return page{}, fmt.Errorf("%w %d: outside the file", errBadPage, id)
	}
	off := int64(id) * int64(p.pageSize)
	head, err := p.fill(off, p.pageSize)
	if err != nil {
		return page{}, err
	}
	le := binary.NativeEndian
	pg := page{
		id:     id,
		off:    off,
		length: (int64(le.Uint32(head[12:])) + 1) * int64(p.pageSize),
		flags:  le.Uint16(head[8:]),
		count:  int(le.Uint16(head[10:])),
	}
	if got := le.Uint64(head); got != id {
		return page{}, fmt.Errorf("%w %d: calls itself %d", errBadPage, id, got)
	}
	if pg.off+pg.length > int64(p.highWater)*int64(p.pageSize) {
		return page{}, fmt.Errorf("%w %d: reaches beyond the file", errBadPage, id)
	}
	need := pageHeader + pg.count*elemSize
	if pg.flags != freelistPage && need > len(head) {
		if int64(need) > pg.length {
			return page{}, fmt.Errorf("%w %d: %d elements don't fit", errBadPage, id, pg.count)
		}
		if head, err = p.fill(off, need); err != nil {
			return page{}, err
		}
	}
	pg.head = head
	return pg, nil
}

func (p *pages) fill(off int64, n int) ([]byte, error) {
	if cap(p.scratch) < n {
		p.scratch = make([]byte, n)
	}
	b := p.scratch[:n]
	return b, p.readAt(b, off)
}

// readAt fills b. What is not on the disk, or can't be read from it, is damage; other failures
// are of the moment.
func (p *pages) readAt(b []byte, off int64) error {
	_, err := p.r.ReadAt(b, off)
	switch {
	case err == nil:
		return nil
	case unreadable(err):
		return fmt.Errorf("%w: %d bytes at %d: %v", errBadPage, len(b), off, err)
	}
	return fmt.Errorf("read at %d: %w", off, err)
}

// unreadable says whether a read failed for the file's end, or for the disk.
func unreadable(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, syscall.EIO) }

// key returns the key of element i, appended to dst.
func (p *pages) key(pg *page, i int, dst []byte) ([]byte, error) {
	at := pageHeader + i*elemSize
	e := pg.head[at:]
	le := binary.NativeEndian
	var pos, size int64
	if pg.flags == branchPage {
		pos, size = int64(le.Uint32(e)), int64(le.Uint32(e[4:]))
	} else {
		pos, size = int64(le.Uint32(e[4:])), int64(le.Uint32(e[8:]))
	}
	from := int64(at) + pos
	if from < int64(pageHeader+pg.count*elemSize) || from+size > pg.length {
		return nil, fmt.Errorf("%w %d: key %d lies outside", errBadPage, pg.id, i)
	}
	if from+size <= int64(len(pg.head)) {
		return append(dst, pg.head[from:from+size]...), nil
	}
	n := len(dst)
	dst = append(dst, make([]byte, size)...)
	return dst, p.readAt(dst[n:], pg.off+from)
}

// child returns the page that element i of branch page pg points to.
func (pg *page) child(i int) uint64 {
	return binary.NativeEndian.Uint64(pg.head[pageHeader+i*elemSize+8:])
}

// value returns where the value of element i of leaf page pg lies, and its flags.
func (pg *page) value(i int) (extent, uint32, error) {
	at := pageHeader + i*elemSize
	e := pg.head[at:]
	le := binary.NativeEndian
	flags, pos := le.Uint32(e), int64(le.Uint32(e[4:]))
	ksize, vsize := int64(le.Uint32(e[8:])), int64(le.Uint32(e[12:]))
	from := int64(at) + pos + ksize
	if from < int64(pageHeader+pg.count*elemSize) || from+vsize > pg.length {
		return extent{}, 0, fmt.Errorf("%w %d: value %d lies outside", errBadPage, pg.id, i)
	}
	return extent{off: pg.off + from, size: int(vsize)}, flags, nil
}

// find returns where key's value lies in the tree at root.
func (p *pages) find(root uint64, key []byte) (e extent, ok bool, err error) {
	id := root
	var buf [64]byte
	for range maxDepth {
		pg, err := p.node(id)
		if err != nil {
			return extent{}, false, err
		}
		// The first element whose key is beyond the one sought; the one before it leads on.
		lo, hi := 0, pg.count
		for lo < hi {
			mid := int(uint(lo+hi) >> 1)
			k, err := p.key(&pg, mid, buf[:0])
			if err != nil {
				return extent{}, false, err
			}
			c := bytes.Compare(k, key)
			if c == 0 && pg.flags == leafPage {
				e, flags, err := pg.value(mid)
				return e, err == nil && flags == 0, err
			}
			if c <= 0 {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		if pg.flags == leafPage {
			return extent{}, false, nil
		}
		id = pg.child(max(lo-1, 0))
	}
	return extent{}, false, fmt.Errorf("%w %d: the tree has no end", errBadPage, root)
}

// spine verifies the way from root to its last leaf.
func (p *pages) spine(root uint64) error {
	id := root
	for range maxDepth {
		pg, err := p.node(id)
		if err != nil {
			return err
		}
		for i := range pg.count {
			if _, err := p.key(&pg, i, nil); err != nil {
				return err
			}
		}
		if pg.flags == leafPage {
			return nil
		}
		id = pg.child(pg.count - 1)
	}
	return fmt.Errorf("%w %d: the tree has no end", errBadPage, root)
}

// walkFile verifies the structure of a bbolt file that nobody writes to.
func walkFile(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	m, err := readMeta(f, info.Size())
	if err != nil {
		return err
	}
	p := pages{r: f, pageSize: m.pageSize, highWater: m.highWater}
	seen := make(map[uint64]bool)
	if err := p.walk(m.root, seen); err != nil || m.freelist == noFreelist {
		return err
	}
	return p.free(m.freelist, seen)
}

// free verifies the freelist at page id: bbolt writes to the pages that it names. seen are those of the
// trees.
func (p *pages) free(id uint64, seen map[uint64]bool) error {
	list, n, at, err := p.freelist(id)
	if err != nil {
		return err
	}
	for i := range uint64(list.length) / uint64(p.pageSize) {
		if seen[id+i] {
			return fmt.Errorf("%w %d: used twice", errBadPage, id+i)
		}
		seen[id+i] = true
	}
	ids := make([]byte, 8*n)
	if err := p.readAt(ids, list.off+at); err != nil {
		return err
	}
	for ; len(ids) > 0; ids = ids[8:] {
		free := binary.NativeEndian.Uint64(ids)
		if free < 2 || free >= p.highWater || seen[free] {
			return fmt.Errorf("%w %d: freelist names page %d, which is in use, named twice or outside the file", errBadPage, id, free)
		}
		seen[free] = true
	}
	return nil
}

// freelist reads the head of the freelist at page id: it names n pages, from byte at of it on.
func (p *pages) freelist(id uint64) (list page, n uint64, at int64, err error) {
	if list, err = p.read(id); err != nil {
		return list, 0, 0, err
	}
	if list.flags != freelistPage {
		return list, 0, 0, fmt.Errorf("%w %d: not a freelist", errBadPage, id)
	}
	n, at = uint64(list.count), pageHeader
	if list.count == 0xffff {
		n, at = binary.NativeEndian.Uint64(list.head[pageHeader:]), at+8
	}
	if n > p.highWater || at+int64(n)*8 > list.length {
		return list, 0, 0, fmt.Errorf("%w %d: freelist of %d pages", errBadPage, id, n)
	}
	return list, n, at, nil
}

// walk visits every page of the tree at root in key order, and the trees of the buckets
// in it, and verifies that each page is used once, and that keys ascend.
func (p *pages) walk(root uint64, seen map[uint64]bool) error {
	w := walker{pages: p, seen: seen}
	return w.page(root, 0, nil)
}

type walker struct {
	*pages
	seen map[uint64]bool
	last []byte // the key before, in this tree
	any  bool
}

func (w *walker) page(id uint64, depth int, floor []byte) error {
	pg, err := w.node(id)
	if err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("%w %d: at depth %d", errBadPage, id, depth)
	}
	for n := uint64(0); n < uint64(pg.length)/uint64(w.pageSize); n++ {
		if w.seen[id+n] {
			return fmt.Errorf("%w %d: used twice", errBadPage, id+n)
		}
		w.seen[id+n] = true
	}
	pg.head = bytes.Clone(pg.head)
	for i := range pg.count {
		k, err := w.key(&pg, i, nil)
		if err != nil {
			return err
		}
		if i == 0 && bytes.Compare(k, floor) < 0 {
			return fmt.Errorf("%w %d: first key is before its parent's", errBadPage, id)
		}
		if pg.flags == branchPage {
			if err := w.page(pg.child(i), depth+1, k); err != nil {
				return err
			}
			continue
		}
		if w.any && bytes.Compare(k, w.last) <= 0 {
			return fmt.Errorf("%w %d: keys don't ascend", errBadPage, id)
		}
		w.last, w.any = k, true
		if err := w.leaf(&pg, i, depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) leaf(pg *page, i, depth int) error {
	e, flags, err := pg.value(i)
	if err != nil || flags&bucketLeaf == 0 {
		return err
	}
	var b [16]byte
	if e.size < len(b) {
		return fmt.Errorf("%w %d: short bucket", errBadPage, pg.id)
	}
	if err := w.readAt(b[:], e.off); err != nil {
		return err
	}
	root := binary.NativeEndian.Uint64(b[:])
	if root == 0 {
		return nil // an inline bucket lies within this page
	}
	sub := walker{pages: w.pages, seen: w.seen}
	return sub.page(root, depth+1, nil)
}
