package collect

// Profile is the version of the rules that decide when a Table evicts a key,
// and so where a fold of partial results is cut. It is part of the key of every
// map output: raise it when a change moves an eviction.
const Profile = 2

const (
	defaultMemory = 64 << 20
	minMemory     = 128 << 10
)

// Options say where records may wait. They never change what Drain hands out.
type Options struct {
	// Memory is the number of bytes that a Buffer, or the Buffer behind a Table,
	// keeps before it writes a sorted segment to a temporary file. Less than
	// 128 KiB counts as 128 KiB; 0 means 64 MiB. A Table's own 4 MiB come on
	// top, and so does a single record larger than Memory.
	Memory int64
	// Dir is the folder for temporary files; empty means os.TempDir().
	Dir string
	// Spare asks for another core, without waiting; done gives it back. It is used to sort.
	// nil: there are none.
	Spare func() (done func(), ok bool)
}

func (o Options) memory() int64 {
	switch {
	case o.Memory == 0:
		return defaultMemory
	case o.Memory < minMemory:
		return minMemory
	}
	return o.Memory
}

// Sink takes sorted records. It must not keep key or value after it returns.
type Sink = interface {
	Record(key, value []byte) error
}

// Sizes count what went through a Table or a Buffer.
type Sizes struct {
	RecordsIn  int64 // Add calls
	BytesIn    int64 // key bytes added; for a Buffer key and value bytes
	Evicted    int64 // partial results that left a Table before Drain
	RecordsOut int64 // records handed to Drain's sink
	BytesOut   int64 // their key and value bytes
	Spilled    int64 // bytes written to temporary files
	Segments   int64 // sorted segments written to temporary files
}
