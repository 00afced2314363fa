package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/zeebo/blake3"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/engine"
)

// Two outputs are compared as two streams of lines. If both are in one of the orders
// below, by their keys, they are merged, a key's values at a time, and what is equal
// leaves nothing behind. Otherwise (map-only jobs, keys of several components, keys that
// a reducer makes) lines are compared whatever their order: what one stream has and the
// other not yet stands in a table, which stays small where the two resemble each other.

// ordering compares keys as text.
type ordering struct {
	name    string
	compare func(a, b []byte) int
}

func orderings() []ordering {
	numeric := func(a, b []byte) int {
		x, errX := strconv.ParseFloat(string(a), 64)
		y, errY := strconv.ParseFloat(string(b), 64)
		switch {
		case errX != nil || errY != nil || math.IsNaN(x) || math.IsNaN(y):
			return unordered
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return bytes.Compare(a, b) // numbers that are too close for a float
	}
	reversed := func(f func(a, b []byte) int) func(a, b []byte) int {
		return func(a, b []byte) int {
			if d := f(a, b); d != unordered {
				return -d
			}
			return unordered
		}
	}
	return []ordering{
		{"bytes", bytes.Compare}, {"numbers", numeric},
		{"bytes, descending", reversed(bytes.Compare)}, {"numbers, descending", reversed(numeric)},
	}
}

const unordered = 2 // keys that an ordering can't compare

// lines reads the parts of an output one after the other.
type lines struct {
	dir  string
	rest []string
	f    *os.File
	r    *bufio.Reader
	line []byte // without its LF
	key  []byte
	val  []byte
	err  error
}

const longestLine = 256 << 20

func newLines(dir string, m *engine.Manifest, skip map[string]bool) *lines {
	l := &lines{dir: dir, r: bufio.NewReaderSize(nil, 1<<20)}
	for _, p := range m.Parts {
		if !skip[p.Name] {
			l.rest = append(l.rest, p.Name)
		}
	}
	return l
}

func (l *lines) next() bool {
	for l.err == nil {
		if l.f == nil {
			if len(l.rest) == 0 {
				return false
			}
			if l.f, l.err = os.Open(filepath.Join(l.dir, l.rest[0])); l.err != nil {
				l.err = mr.Errorf(mr.Failed, "part: %w", l.err)
				return false
			}
			l.rest = l.rest[1:]
			l.r.Reset(l.f)
		}
		l.line = l.line[:0]
		for {
			piece, err := l.r.ReadSlice('\n')
			l.line = append(l.line, piece...)
			if err == nil {
				l.line = l.line[:len(l.line)-1]
				break
			}
			if err == io.EOF {
				l.close()
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) || len(l.line) > longestLine {
				l.err = mr.Errorf(mr.Failed, "%s: reading a line: %w", l.f.Name(), err)
				return false
			}
		}
		if l.f == nil && len(l.line) == 0 {
			continue
		}
		l.key, l.val, _ = bytes.Cut(l.line, []byte{'\t'})
		return true
	}
	return false
}

func (l *lines) close() {
	if l.f != nil {
		l.f.Close() //nolint:errcheck // only read from
		l.f = nil
	}
}

// compareOutputs fills in what differs between the records of two outputs.
func compareOutputs(ctx context.Context, left string, l *engine.Manifest, right string, r *engine.Manifest, most int, d *diffJSON) error {
	skip := map[string]bool{}
	if len(l.Parts) == len(r.Parts) { // equal parts at equal places need not be read
		for i := range l.Parts {
			if l.Parts[i].Name == r.Parts[i].Name && l.Parts[i].Digest == r.Parts[i].Digest {
				skip[l.Parts[i].Name] = true
				d.Same += l.Parts[i].Records
			}
		}
	}
	open := func() (*lines, *lines) { return newLines(left, l, skip), newLines(right, r, skip) }
	for _, o := range orderings() {
		x, y := open()
		okX, err := inOrder(ctx, x, o)
		if err == nil && okX {
			var okY bool
			if okY, err = inOrder(ctx, y, o); err == nil && okY {
				d.Ordered = true
				x, y = open()
				return mergeLines(ctx, x, y, o, most, d)
			}
		}
		if err != nil {
			return err
		}
	}
	x, y := open()
	return matchLines(ctx, x, y, open, most, d)
}

// inOrder reports whether all lines stand in an order, by their keys.
func inOrder(ctx context.Context, l *lines, o ordering) (bool, error) {
	defer l.close()
	var prev []byte
	for n := 0; l.next(); n++ {
		if n > 0 && o.compare(prev, l.key) > 0 {
			return false, nil
		}
		if n == 0 && o.compare(l.key, l.key) == unordered {
			return false, nil
		}
		prev = append(prev[:0], l.key...)
		if n%4096 == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	return true, l.err
}

// group is the values of one key.
type group struct {
	l    *lines
	more bool // l stands on a line
	key  []byte
	vals []string
}

func newGroup(l *lines) *group { return &group{l: l, more: l.next()} }

func (g *group) next() bool {
	if !g.more {
		g.key = nil
		return false
	}
	g.key = append(g.key[:0], g.l.key...)
	g.vals = g.vals[:0]
	for g.more && bytes.Equal(g.l.key, g.key) {
		g.vals = append(g.vals, string(g.l.val))
		g.more = g.l.next()
	}
	return true
}

func mergeLines(ctx context.Context, x, y *lines, o ordering, most int, d *diffJSON) error {
	defer x.close()
	defer y.close()
	gx, gy := newGroup(x), newGroup(y)
	hasX, hasY := gx.next(), gy.next()
	for n := 0; hasX || hasY; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		c := 0
		switch {
		case !hasX:
			c = 1
		case !hasY:
			c = -1
		default:
			c = o.compare(gx.key, gy.key)
		}
		k := diffKeyJSON{Left: []string{}, Right: []string{}}
		switch {
		case c < 0:
			d.OnlyLeft++
			k.Key, k.Left = string(gx.key), append(k.Left, gx.vals...)
		case c > 0:
			d.OnlyRght++
			k.Key, k.Right = string(gy.key), append(k.Right, gy.vals...)
		default:
			same := sameValues(gx.vals, gy.vals)
			if same {
				d.Same += int64(len(gx.vals))
			} else {
				d.Changed++
				k.Key, k.Left, k.Right = string(gx.key), append(k.Left, gx.vals...), append(k.Right, gy.vals...)
			}
		}
		if len(k.Left)+len(k.Right) > 0 && len(d.Keys) < most {
			d.Keys = append(d.Keys, k)
		}
		if c <= 0 {
			hasX = gx.next()
		}
		if c >= 0 {
			hasY = gy.next()
		}
	}
	return errors.Join(x.err, y.err)
}

func sameValues(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// matchLines compares without an order. The second pass finds the lines that the first
// has left over.
func matchLines(ctx context.Context, x, y *lines, open func() (*lines, *lines), most int, d *diffJSON) error {
	left := map[[16]byte]int64{} // lines of x without their like in y; negative the other way
	mark := func(l *lines, by int64) bool {
		if !l.next() {
			return false
		}
		k := lineSum(l.line)
		if left[k] += by; left[k] == 0 {
			delete(left, k)
		}
		return true
	}
	defer x.close()
	defer y.close()
	var n int64
	for moreX, moreY := true, true; moreX || moreY; n++ {
		if moreX {
			moreX = mark(x, 1)
		}
		if moreY {
			moreY = mark(y, -1)
		}
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := errors.Join(x.err, y.err); err != nil {
		return err
	}
	x, y = open()
	defer x.close()
	defer y.close()
	for x.next() {
		k := lineSum(x.line)
		if left[k] <= 0 {
			d.Same++
			continue
		}
		left[k]--
		d.OnlyLeft++
		if len(d.Keys) < (most+1)/2 {
			d.Keys = append(d.Keys, diffKeyJSON{Key: string(x.key), Left: []string{string(x.val)}, Right: []string{}})
		}
	}
	for y.next() {
		k := lineSum(y.line)
		if left[k] >= 0 {
			continue
		}
		left[k]++
		d.OnlyRght++
		if len(d.Keys) < most {
			d.Keys = append(d.Keys, diffKeyJSON{Key: string(y.key), Left: []string{}, Right: []string{string(y.val)}})
		}
	}
	return errors.Join(x.err, y.err)
}

func lineSum(b []byte) (k [16]byte) {
	sum := blake3.Sum256(b)
	copy(k[:], sum[:])
	return k
}
