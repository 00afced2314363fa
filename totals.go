package mr

// A job without a reducer whose combiner is Sum of 64-bit integers runs no line of its
// author's when it reduces: records are read, added up by key, and written as text, all by
// this package. What that makes of an encoded record has a name, so that whoever reads the
// records can do it, and what they make can't be told apart:
//
//	"1 bytes"   keys are one string or slice: their encoding is their text
//	"1 int64"   keys are one signed integer of 8 bytes, written in decimal
//	"1 uint64"  likewise, without a sign
//
// Values are signed varints, written in decimal. Names are append-only. Outputs are found
// under the digest of the job's binary, whoever made them: a name that came to mean something
// else would be a wrong hit.

// totals returns the name for a job that adds up, "" if there is none for it. A type may have
// an encoding and a text of its own where it is a value of the output, and none as a key.
func totals(key, outKey *layout) string {
	if key.single != outKey.single {
		return ""
	}
	switch {
	case key.plainKey():
		return "1 bytes"
	case key.single == partInt && key.size == 8:
		return "1 int64"
	case key.single == partUint && key.size == 8:
		return "1 uint64"
	}
	return ""
}

// Totals returns a Program that does in this process what Reduce and Combine of the job do
// that says t of itself, or nil if only the job's own code can. It can't map.
func Totals(t Traits) *Program {
	switch t.Totals {
	case "1 bytes":
		return totalsOf[[]byte](t)
	case "1 int64":
		return totalsOf[int64](t)
	case "1 uint64":
		return totalsOf[uint64](t)
	}
	return nil
}

// Lines reports whether the text of a job's output can be read back: each line is a key as it is
// encoded, a tab and a sum in decimal, unless a key holds a line break.
func (t *Traits) Lines() bool { return t.Totals == "1 bytes" && !t.NoKey && !t.NoValue }

func totalsOf[K any](t Traits) *Program {
	s := collectOptions([]Option{newMapOpt[K, int64]().set, Combine(Sum[int64])})
	p := &Program{mapStages: s, reduceStages: s}
	if p.check() != nil { // no type above is refused
		return nil
	}
	p.traits = t
	return p
}
