package plan

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mrd-io/mr"
)

func identity(k []byte) []byte { return k }

func TestCutCoversEveryKeyOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 500 {
		var ws []Weight
		for range rng.IntN(60) {
			ws = append(ws, Weight{Key: fmt.Appendf(nil, "%03d", rng.IntN(40)), Bytes: rng.Int64N(1000)})
		}
		n := 1 + rng.IntN(9)
		group := identity
		if round%3 == 0 {
			group = func(k []byte) []byte { return k[:2] }
		}
		var sticky [][]byte
		if round%2 == 0 && round%3 != 0 { // a stage's earlier cuts lie at its own groups
			sticky = [][]byte{[]byte("010"), []byte("020")}
		}
		rs := Cut(ws, n, group, sticky)
		if len(rs) != n {
			t.Fatalf("round %d: %d ranges, want %d", round, len(rs), n)
		}
		for i := range 1000 {
			key := fmt.Appendf(nil, "%03d", i)
			in, inGroup := -1, -1
			for j, r := range rs {
				if r.Contains(key) {
					if in >= 0 {
						t.Fatalf("round %d: key %s in ranges %d and %d", round, key, in, j)
					}
					in = j
				}
				if r.Contains(group(key)) {
					inGroup = j
				}
			}
			if in < 0 || in != inGroup {
				t.Fatalf("round %d: key %s in range %d, its group in %d", round, key, in, inGroup)
			}
		}
	}
}

func TestCutBalances(t *testing.T) {
	var ws []Weight
	for i := range 1000 {
		ws = append(ws, Weight{Key: fmt.Appendf(nil, "%06d", i), Bytes: 100})
	}
	for j, r := range Cut(ws, 4, identity, nil) {
		var sum int64
		for _, w := range ws {
			if r.Contains(w.Key) {
				sum += w.Bytes
			}
		}
		if sum < 24000 || sum > 26000 {
			t.Errorf("range %d weighs %d of 100000", j, sum)
		}
	}
}

func TestStickyCutsStayWhileTheyBalance(t *testing.T) {
	var ws []Weight
	for i := range 100 {
		ws = append(ws, Weight{Key: fmt.Appendf(nil, "%06d", i), Bytes: 100})
	}
	old := [][]byte{[]byte("000020"), []byte("000060")}
	rs := Cut(ws, 3, identity, old)
	if !bytes.Equal(rs[0].Hi, old[0]) || !bytes.Equal(rs[1].Hi, old[1]) {
		t.Errorf("balanced sticky cuts were not kept: %q %q", rs[0].Hi, rs[1].Hi)
	}
	skewed := [][]byte{[]byte("000001"), []byte("000002")}
	if rs := Cut(ws, 3, identity, skewed); bytes.Equal(rs[0].Hi, skewed[0]) {
		t.Error("a range with 98 % of the bytes was kept")
	}
}

func TestKeysSeparateTheirFields(t *testing.T) {
	stage := func(format string, ps ...mr.Param) mr.Digest {
		f, err := mr.ParseFormat(format)
		if err != nil {
			t.Fatal(err)
		}
		return MapStage(MapParts{Traits: mr.Traits{Job: "j", Params: ps}, Format: f}).Digest
	}
	a := stage("text", mr.Param{Name: "a", Value: "bc"})
	for name, other := range map[string]mr.Digest{
		"field boundary": stage("text", mr.Param{Name: "ab", Value: "c"}),
		"format":         stage("whole", mr.Param{Name: "a", Value: "bc"}),
		"one more":       stage("text", mr.Param{Name: "a", Value: "bc"}, mr.Param{Name: "d"}),
		"value":          stage("text", mr.Param{Name: "a", Value: "bd"}),
	} {
		if a == other {
			t.Errorf("%s is not in the key", name)
		}
	}
	if a != stage("text", mr.Param{Name: "a", Value: "bc"}, mr.Param{Name: "n", Value: "5", ReduceOnly: true}) {
		t.Error("a reduce-only parameter is in the map key")
	}
	split := mr.Digest{7}
	if MapKey(a, split, mr.Digest{}) == MapKey(a, split, mr.Digest{1}) {
		t.Error("positions are not in the map key")
	}
	if ReduceKey(a, Range{nil, nil}, nil, nil) == ReduceKey(a, Range{[]byte{}, nil}, nil, nil) {
		t.Error("unbounded and empty bounds share a key")
	}
}

// TestCodeIsInTheKey holds the worst of wrong hits away: other code, equal key.
func TestCodeIsInTheKey(t *testing.T) {
	traits := mr.Traits{Job: "j", Version: "1"}
	stages := func(t mr.Traits, code mr.Code, env ...Component) [2]mr.Digest {
		return [2]mr.Digest{
			MapStage(MapParts{Traits: t, Code: code, Env: env}).Digest, ReduceStage(t, code, env, "text").Digest,
		}
	}
	binary := mr.Code{Kind: mr.Binary, Digest: mr.Digest{1}}
	other := mr.Code{Kind: mr.Binary, Digest: mr.Digest{2}}
	for what, pair := range map[string][2][2]mr.Digest{
		"the binary":                {stages(traits, binary), stages(traits, other)},
		"built in or not":           {stages(traits, binary), stages(traits, mr.Code{})},
		"the name of a built-in":    {stages(traits, mr.Code{}), stages(mr.Traits{Job: "k", Version: "1"}, mr.Code{})},
		"the version of a built-in": {stages(traits, mr.Code{}), stages(mr.Traits{Job: "j", Version: "2"}, mr.Code{})},
		"a declared variable":       {stages(traits, binary, Component{Name: "A", Value: "1"}), stages(traits, binary, Component{Name: "A", Value: "2"})},
	} {
		for i, kind := range []string{"map", "reduce"} {
			if pair[0][i] == pair[1][i] {
				t.Errorf("%s is not in the %s key", what, kind)
			}
		}
	}
	if again := stages(traits, mr.Code{Kind: mr.Binary, Digest: mr.Digest{1}, Path: "/elsewhere", Source: "typed otherwise"}); again != stages(traits, binary) {
		t.Error("the path of a binary is in the key")
	}
}

// Golden: changed digests mean that every cached output in every store is forgotten,
// or worse, mistaken. Change them only together with Epoch and ReduceEpoch.
func TestGoldenKeys(t *testing.T) {
	s := MapStage(MapParts{Traits: mr.Traits{Job: "wordcount", Version: "1", Combine: true, Reduce: true,
		Params: []mr.Param{{Name: "lower", Value: "false"}}}, DecoderVersion: 1, SpillProfile: 1})
	const want = "96c8ff58b7554027a6d5299ad93578f29b483e59fd6d98addddf916130dc8f41"
	if got := MapKey(s.Digest, mr.Digest{1}, mr.Digest{}).String(); got != want {
		t.Errorf("map key %s, want %s", got, want)
	}
	r := ReduceStage(mr.Traits{Job: "wordcount", Version: "1"}, mr.Code{}, nil, "text")
	const wantReduce = "d79d741b51ff65f4db119c8ef9c3799724ca5ba577e0eafc03626c34bddc0fd4"
	if got := r.Digest.String(); got != wantReduce {
		t.Errorf("reduce stage %s, want %s", got, wantReduce)
	}
}

func TestDefaultCutsGrow(t *testing.T) {
	var ws []Weight
	for i := range 200 {
		ws = append(ws, Weight{Key: fmt.Appendf(nil, "%06d", i), Bytes: RangeBytes / 10})
	}
	first := Cut(ws, 0, identity, nil)
	if len(first) != 20 {
		t.Fatalf("%d ranges of 20 times the weight of one", len(first))
	}
	var cuts [][]byte
	for _, r := range first[1:] {
		cuts = append(cuts, r.Lo)
	}
	for i := range 40 { // a new day arrives under new keys
		ws = append(ws, Weight{Key: fmt.Appendf(nil, "1%06d", i), Bytes: RangeBytes / 10})
	}
	second := Cut(ws, 0, identity, cuts)
	for i := range len(first) - 1 {
		if !bytes.Equal(second[i].Lo, first[i].Lo) || !bytes.Equal(second[i].Hi, first[i].Hi) {
			t.Errorf("range %d moved: [%q,%q) → [%q,%q)", i, first[i].Lo, first[i].Hi, second[i].Lo, second[i].Hi)
		}
	}
	if len(second) < 23 {
		t.Errorf("the new keys got %d ranges", len(second)-len(first))
	}
}

// A small job gets small ranges where its runs follow each other by key, so that data under
// new keys leaves most parts as they are; and few where each run has all keys, since each
// range decodes a part of a block of every run in vain.
func TestSmallRangesOnlyWhereTheyAreCheap(t *testing.T) {
	const runs, blocks, raw = 20, 10, 128 << 10
	sorted, mixed := []Weight{}, []Weight{}
	for r := range runs {
		for b := range blocks {
			at := (r*blocks + b) * 1000
			sorted = append(sorted, Weight{Key: fmt.Appendf(nil, "%07d", at), Last: fmt.Appendf(nil, "%07d", at+1000), Bytes: raw})
			at = b*1000 + r
			mixed = append(mixed, Weight{Key: fmt.Appendf(nil, "%07d", at), Last: fmt.Appendf(nil, "%07d", at+1000), Bytes: raw})
		}
	}
	if n := len(Cut(sorted, 0, identity, nil)); n != fewRanges {
		t.Errorf("%d ranges of runs in order", n)
	}
	if n := len(Cut(mixed, 0, identity, nil)); n > runs*blocks*raw/(runs*edgeBytes)+1 {
		t.Errorf("%d ranges of runs that all have all keys", n)
	}
	if n := len(Cut(sorted[:7], 0, identity, nil)); n != 1 {
		t.Errorf("%d ranges of less than a range", n)
	}
}

// Ranges grow with the number of runs that reach into each, up to a limit: of a small piece of
// each of very many runs most would be decoded in vain.
func TestManyRunsMakeLargeRanges(t *testing.T) {
	const blocks, raw = 100, 128 << 10
	for _, c := range []struct{ runs, size int }{
		{40, RangeBytes}, {300, 300 * wideEdges}, {900, wideRange},
	} {
		var ws []Weight
		for r := range c.runs {
			for b := range blocks {
				at := b*1000 + r
				ws = append(ws, Weight{Key: fmt.Appendf(nil, "%07d", at), Last: fmt.Appendf(nil, "%07d", at+1000), Bytes: raw})
			}
		}
		want := c.runs * blocks * raw / c.size
		if n := len(Cut(ws, 0, identity, nil)); n < want-1 || n > want+1 {
			t.Errorf("%d runs: %d ranges, want about %d", c.runs, n, want)
		}
	}
}

// The newest range is cut again when it has grown to twice the others, so that the data
// that comes last never fills one range that always changes.
func TestTheLastRangeOfAGrowingLogIsCut(t *testing.T) {
	var ws []Weight
	var cuts [][]byte
	for day := range 120 {
		for i := range 4 {
			at := day*4 + i
			ws = append(ws, Weight{Key: fmt.Appendf(nil, "%06d", at), Last: fmt.Appendf(nil, "%06d", at+1), Bytes: 128 << 10})
		}
		rs := Cut(slices.Clone(ws), 0, identity, cuts)
		kept := 0
		for _, r := range rs {
			for _, c := range cuts {
				if bytes.Equal(r.Lo, c) {
					kept++
				}
			}
		}
		last := rs[len(rs)-1]
		var sum, total int64
		for _, w := range ws {
			total += w.Bytes
			if last.Contains(w.Key) {
				sum += w.Bytes
			}
		}
		if limit := max(2*total/fewRanges, 2*smallRange) + 512<<10; sum > limit {
			t.Fatalf("day %d: the last of %d ranges has %d of %d bytes", day, len(rs), sum, total)
		}
		if kept < len(cuts)-2 {
			t.Fatalf("day %d: %d of %d cuts were kept", day, kept, len(cuts))
		}
		cuts = nil
		for _, r := range rs[1:] {
			cuts = append(cuts, r.Lo)
		}
	}
}

// An inner node is its combiner's, with all that it may see, and nobody else's: how the
// output is grouped and written is the reducer's alone.
func TestNodeStageIsWhatACombinerSees(t *testing.T) {
	traits := mr.Traits{Job: "j", Version: "1", Params: []mr.Param{{Name: "a", Value: "1", ReduceOnly: true}}, Prefix: 1}
	binary := mr.Code{Kind: mr.Binary, Digest: mr.Digest{1}}
	base := NodeStage(traits, binary, nil).Digest
	grouped := traits
	grouped.Prefix = 2
	if NodeStage(grouped, binary, nil).Digest != base {
		t.Error("the grouping is in the key of nodes")
	}
	other := traits
	other.Params = []mr.Param{{Name: "a", Value: "2", ReduceOnly: true}}
	for name, d := range map[string]mr.Digest{
		"a parameter of the reducer": NodeStage(other, binary, nil).Digest,
		"the binary":                 NodeStage(traits, mr.Code{Kind: mr.Binary, Digest: mr.Digest{2}}, nil).Digest,
		"a declared variable":        NodeStage(traits, binary, []Component{{Name: "A", Value: "1"}}).Digest,
		"being a node":               ReduceStage(traits, binary, nil, "").Digest,
	} {
		if d == base {
			t.Errorf("%s is not in the key of nodes", name)
		}
	}
}
