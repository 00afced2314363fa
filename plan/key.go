package plan

import (
	"encoding/binary"
	"strconv"
	"sync"

	"github.com/zeebo/blake3"

	"github.com/mrd-io/mr"
)

// Epoch is raised when outputs made by earlier versions of this engine must not be
// used again, whatever their keys say: it is a component of every map stage, and ReduceEpoch of every
// reduce stage. 2: a merge of runs with blocks of empty keys alone put other keys before the last of them.
const (
	Epoch       = 1
	ReduceEpoch = 2
)

// Component is one named field of a stage. Names are stable: they are shown to people
// and compared across versions.
type Component struct{ Name, Value string }

// Stage is what all tasks of one phase have in common. Components are in a fixed
// order, the most telling first: the first that differs explains a miss.
type Stage struct {
	Components []Component
	Digest     mr.Digest
}

// MapParts are the ingredients of a map stage.
type MapParts struct {
	Traits         mr.Traits
	Code           mr.Code
	Format         mr.Format
	DecoderVersion int
	SpillProfile   int
	SkipLimit      int64       // 0: bad records are not skipped; else they are, and this is the longest that is good
	Env            []Component // the declared environment, name and value, in declared order
}

// MapStage makes the stage of a job's map tasks.
func MapStage(p MapParts) Stage {
	cs := codeComponents("map", p.Traits, p.Code.ForMap())
	if p.Code.Kind == mr.Binary {
		cs = append(cs, Component{"map function", p.Traits.MapStage})
	}
	for _, a := range p.Traits.Params {
		if !a.ReduceOnly {
			cs = append(cs, Component{"parameter " + a.Name, a.Value})
		}
	}
	for _, e := range p.Env {
		cs = append(cs, Component{"env " + e.Name, e.Value})
	}
	cs = appendNoted(cs, p.Code)
	cs = append(cs,
		Component{"input format", p.Format.String()},
		Component{"combiner", yesNo(p.Traits.Combine)},
		Component{"map-only", yesNo(!p.Traits.Reduce)},
		Component{"positions", yesNo(p.Traits.Positions)},
		Component{"decoder version", strconv.Itoa(p.DecoderVersion)},
		Component{"spill profile", strconv.Itoa(p.SpillProfile)},
		Component{"engine epoch", strconv.Itoa(Epoch)},
	)
	if p.SkipLimit != 0 {
		cs = append(cs, Component{"bad records", "skipped, lines up to " + strconv.FormatInt(p.SkipLimit, 10) + " bytes"})
	}
	return newStage("mr/stage/map", cs)
}

// ReduceStage makes the stage of a job's reduce tasks. outputFormat is the resolved
// format of the part files, which are what a reduce task makes.
func ReduceStage(t mr.Traits, code mr.Code, env []Component, outputFormat string) Stage {
	cs := codeComponents("reduce", t, code)
	if code.Kind == mr.Binary {
		cs = append(cs, Component{"job", t.Job})
	}
	for _, a := range t.Params {
		cs = append(cs, Component{"parameter " + a.Name, a.Value})
	}
	for _, e := range env {
		cs = append(cs, Component{"env " + e.Name, e.Value})
	}
	cs = appendNoted(cs, code)
	cs = append(cs,
		Component{"output format", outputFormat},
		Component{"group prefix", strconv.Itoa(t.Prefix)},
		Component{"engine epoch", strconv.Itoa(ReduceEpoch)},
	)
	return newStage("mr/stage/reduce", cs)
}

// NodeStage makes the stage of the inner nodes of a reduce phase's trees. They are folded
// by the program that reduces, so its code is theirs, with all that it can see; of what
// the reducer does with the result they know nothing.
func NodeStage(t mr.Traits, code mr.Code, env []Component) Stage {
	t.Prefix = 0
	cs := ReduceStage(t, code, env, "").Components
	return newStage("mr/stage/node", cs)
}

// appendNoted tells outputs of authors' code from those of a time when nobody looked which files it opens.
func appendNoted(cs []Component, code mr.Code) []Component {
	if code.Kind == mr.Binary {
		cs = append(cs, Component{"opened files", "noted"})
	}
	return cs
}

func codeComponents(phase string, t mr.Traits, code mr.Code) []Component {
	if code.Kind == mr.Binary {
		return []Component{{phase + " code", "binary " + code.Digest.String()}}
	}
	return []Component{{phase + " code", "built-in " + t.Job + " " + t.Version}}
}

// newStage digests components in order.
func newStage(domain string, cs []Component) Stage {
	h := newHasher(domain)
	for _, c := range cs {
		h.str(c.Name)
		h.str(c.Value)
	}
	return Stage{Components: cs, Digest: h.sum()}
}

// MapKey is the key of the map task of one split. positions is what the mapper sees of
// where its records lie; zero unless the job asks for positions.
func MapKey(stage, split, positions mr.Digest) mr.Digest {
	h := newHasher("mr/key/map")
	h.digest(stage)
	h.digest(split)
	h.digest(positions)
	return h.sum()
}

// ReduceKey is the key of a reduce task: its stage, its range, the digests of the blocks of
// each run, in split order, that may hold keys of the range, and the tree in which they are
// folded; nil without a combiner.
func ReduceKey(stage mr.Digest, r Range, runs [][]mr.Digest, seps []uint8) mr.Digest {
	if highest(seps) > 0 {
		return foldKey("mr/key/reduce/tree", stage, r, runs, seps)
	}
	h := newHasher("mr/key/reduce")
	h.digest(stage)
	h.opt(r.Lo)
	h.opt(r.Hi)
	n := 0
	for _, blocks := range runs {
		n += len(blocks)
	}
	h.num(uint64(n))
	for _, blocks := range runs {
		for _, b := range blocks {
			h.digest(b)
		}
	}
	return h.sum()
}

// NodeKey is the key of an inner node of the tree of one range: the records of its runs
// with keys in the range, folded.
func NodeKey(stage mr.Digest, r Range, runs [][]mr.Digest, seps []uint8) mr.Digest {
	return foldKey("mr/key/node", stage, r, runs, seps)
}

// foldKey digests a tree with the blocks of its runs.
func foldKey(domain string, stage mr.Digest, r Range, runs [][]mr.Digest, seps []uint8) mr.Digest {
	h := newHasher(domain)
	h.digest(stage)
	h.opt(r.Lo)
	h.opt(r.Hi)
	h.num(uint64(len(runs)))
	for i, blocks := range runs {
		if i > 0 { // a subtree's first separation is its surroundings'
			h.num(uint64(seps[i]))
		}
		h.num(uint64(len(blocks)))
		for _, b := range blocks {
			h.digest(b)
		}
	}
	return h.sum()
}

// SpecDigest identifies a submission: the same submit id must come with the same spec. Binaries
// count by their bytes, not by where they are: that is in the store, whose path is another
// when it has been moved, or is reached by a link.
func SpecDigest(s mr.Spec) mr.Digest {
	if !s.Code.Digest.IsZero() {
		s.Code.Path = ""
	}
	if !s.Code.MapDigest.IsZero() {
		s.Code.MapPath = ""
	}
	h := newHasher("mr/spec")
	h.str(s.Job)
	h.num(uint64(s.Code.Kind))
	h.str(s.Code.Path)
	h.digest(s.Code.Digest)
	h.str(s.Code.MapPath)
	h.digest(s.Code.MapDigest)
	h.list(s.Args)
	h.list(s.Inputs)
	h.str(s.Output)
	h.str(s.InputFormat.String())
	h.str(s.OutputFormat)
	h.num(uint64(s.Reducers))
	h.num(uint64(s.SplitSize))
	h.str(s.Chunking)
	h.num(uint64(s.RecordLimit))
	h.str(yesNo(s.Overwrite))
	h.str(yesNo(s.NoCache))
	if s.Incremental { // a later field: without it, digests are what they were
		h.str("incremental")
	}
	if s.NoSpeculation {
		h.str("no speculation")
	}
	if s.SkipBadRecords != 0 {
		h.str("skip bad records")
		h.num(uint64(s.SkipBadRecords))
	}
	if s.Verify != "" { // came later: a submission without it keeps its digest
		h.str("verify")
		h.str(s.Verify)
	}
	return h.sum()
}

// Sum is a domain-separated digest of b, for records that name themselves by content.
func Sum(domain string, b []byte) mr.Digest {
	h := newHasher(domain)
	h.num(uint64(len(b)))
	h.h.Write(b)
	return h.sum()
}

// hasher makes one digest.
type hasher struct {
	h   *blake3.Hasher
	buf []byte
}

// hashers are at rest, of ten kilobytes each. It is the package's only shared state and
// cannot be observed but by speed.
var hashers sync.Pool

func newHasher(domain string) *hasher {
	h, ok := hashers.Get().(*hasher)
	if !ok {
		h = &hasher{h: blake3.New()}
	}
	h.str(domain)
	return h
}

func (h *hasher) num(n uint64) {
	h.buf = binary.LittleEndian.AppendUint64(h.buf[:0], n)
	h.h.Write(h.buf)
}

func (h *hasher) str(s string) {
	h.buf = binary.LittleEndian.AppendUint64(h.buf[:0], uint64(len(s)))
	h.buf = append(h.buf, s...)
	h.h.Write(h.buf)
}

func (h *hasher) list(ss []string) {
	h.num(uint64(len(ss)))
	for _, s := range ss {
		h.str(s)
	}
}

// opt tells nil (unbounded) from empty.
func (h *hasher) opt(b []byte) {
	if b == nil {
		h.num(0)
		return
	}
	h.num(1)
	h.str(string(b))
}

func (h *hasher) digest(d mr.Digest) { h.h.Write(d[:]) }

// sum returns the digest. The hasher must not be used any more.
func (h *hasher) sum() (d mr.Digest) {
	h.h.Sum(d[:0])
	h.h.Reset()
	hashers.Put(h)
	return d
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
