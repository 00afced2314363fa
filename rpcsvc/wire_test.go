package rpcsvc

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/clock"
)

var update = flag.Bool("update", false, "write the golden files anew")

// wireServices are the services as registered.
var wireServices = []struct {
	name string
	svc  any
}{{"Jobs", &jobsService{}}, {"Meta", &metaService{}}, {"Time", &clock.Service{}}, {"Workers", &workersService{}}}

// TestWireGolden holds the names and shapes of everything that crosses the wire. A
// change in the golden file is a change of the protocol: lines may be added, never
// changed or removed.
func TestWireGolden(t *testing.T) {
	var out bytes.Buffer
	seen := map[reflect.Type]bool{}
	var queue []reflect.Type
	for _, s := range wireServices {
		typ := reflect.TypeOf(s.svc)
		for i := range typ.NumMethod() {
			m := typ.Method(i)
			arg, rep := m.Type.In(1).Elem(), m.Type.In(2).Elem()
			fmt.Fprintf(&out, "method %s.%s(%s) %s\n", s.name, m.Name, arg.Name(), rep.Name())
			queue = append(queue, arg, rep)
		}
	}
	var shapes []string
	for len(queue) > 0 {
		typ := queue[0]
		queue = queue[1:]
		if seen[typ] {
			continue
		}
		seen[typ] = true
		var b strings.Builder
		fmt.Fprintf(&b, "\ntype %s\n", typ.Name())
		for i := range typ.NumField() {
			f := typ.Field(i)
			if !f.IsExported() {
				continue
			}
			elem := f.Type
			if elem.Kind() == reflect.Slice {
				elem = elem.Elem()
			}
			switch elem.Kind() {
			case reflect.Struct:
				queue = append(queue, elem)
			case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64:
			default:
				t.Errorf("%s.%s: %v may not cross the wire", typ.Name(), f.Name, f.Type)
			}
			fmt.Fprintf(&b, "\t%s %s %s\n", f.Name, strings.ReplaceAll(f.Type.String(), "rpcsvc.", ""), f.Tag.Get("json"))
		}
		shapes = append(shapes, b.String())
	}
	slices.Sort(shapes)
	for _, s := range shapes {
		out.WriteString(s)
	}
	const golden = "testdata/wire.golden"
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("the wire changed; if fields were only added, run go test -update. It is now:\n%s", out.Bytes())
	}
}

// fill sets everything in v to something that isn't zero.
func fill(t *testing.T, v reflect.Value, n *int64) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprint("s", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(*n)
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Float64:
		v.SetFloat(float64(*n) / 2)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.Array:
		v.Index(0).SetUint(7)
	case reflect.Struct:
		switch v.Type() {
		case reflect.TypeOf(mr.Format{}):
			v.Set(reflect.ValueOf(mr.Format{Kind: mr.Fixed, N: 77}))
		case reflect.TypeOf(moment(1)):
			v.Set(reflect.ValueOf(moment(*n)))
		default:
			for i := range v.NumField() {
				fill(t, v.Field(i), n)
			}
		}
	case reflect.Uint8:
		v.SetUint(uint64(mr.Binary))
	default:
		t.Fatalf("fill: %v", v.Type())
	}
}

func roundTrip[A, W any](t *testing.T, to func(A) W, from func(W) A) {
	t.Helper()
	var a A
	n := int64(0)
	fill(t, reflect.ValueOf(&a).Elem(), &n)
	if got := from(to(a)); !reflect.DeepEqual(got, a) {
		t.Errorf("%T: got\n%+v\nwant\n%+v", a, got, a)
	}
	var zero A
	if got := from(to(zero)); !reflect.DeepEqual(got, zero) {
		t.Errorf("%T: zero became %+v", a, got)
	}
}

func TestConvertKeepsEverything(t *testing.T) {
	roundTrip(t, specToWire, func(w Spec) mr.Spec {
		s, err := specFromWire(w)
		if err != nil {
			t.Error(err)
		}
		return s
	})
	roundTrip(t, statusToWire, statusFromWire)
	roundTrip(t, logToWire, logFromWire)
	roundTrip(t, explanationToWire, explanationFromWire)
	roundTrip(t, lineageToWire, lineageFromWire)
	roundTrip(t, func(s mr.CacheStats) CacheStatsReply { return CacheStatsReply(s) }, func(w CacheStatsReply) mr.CacheStats { return mr.CacheStats(w) })
	roundTrip(t, cacheReportToWire, cacheReportFromWire)
	roundTrip(t, verdictToWire, verdictFromWire)
	roundTrip(t, traceToWire, traceFromWire)
	roundTrip(t, workerToWire, workerFromWire)
	roundTrip(t, timesToWire, timesFromWire)
}

func TestSpecFromWireRefuses(t *testing.T) {
	for _, w := range []Spec{
		{Code: Code{Kind: "closure"}},
		{Code: Code{Digest: "12"}},
		{InputFormat: "fixed:0"},
	} {
		if _, err := specFromWire(w); mr.KindOf(err) != mr.Usage || err == nil {
			t.Errorf("%+v: %v; want a usage error", w, err)
		}
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	for kind := mr.Failed; kind <= mr.Interrupted; kind++ {
		near := mr.Errorf(kind, "part: of %s: it", "all")
		far := fromWire(rpcText(toWire(near)))
		if far.Kind != kind || far.Msg != near.Msg {
			t.Errorf("%v became %v: %v", near, far.Kind, far)
		}
	}
	if kindOf(fmt.Errorf("x: %w", errRequestSize)) != mr.Failed {
		t.Error("an error without a kind must be Failed")
	}
	if e := fromWire("rpc: can't find method Jobs.Nothing"); e.Kind != mr.Usage {
		t.Errorf("net/rpc's own errors: %v", e.Kind)
	}
}
