package run

import (
	"sync"

	"github.com/zeebo/blake3"
)

// memory is where buffers of Writers and Readers rest between tasks: to fault in and clear
// some hundred KiB for each of many small runs, and for each run in each key range, costs as
// much as the work itself. It is the package's only shared state and cannot be observed but
// by speed; sync.Pool gives what is not used back to the collector.
var memory pools

type pools struct{ writers, readers sync.Pool }

// writer returns memory with room for blocks of that size.
func (p *pools) writer(blockSize int) *writerMemory {
	m, ok := p.writers.Get().(*writerMemory)
	if !ok {
		m = &writerMemory{hash: blake3.New(), blockHash: blake3.New(), runHash: blake3.New()}
	}
	if want := headerLen + blockSize + 2*chunkLen; cap(m.framed) < want && blockSize <= keepMax {
		m.framed = make([]byte, 0, want)
	} else if m.framed == nil {
		m.framed = make([]byte, 0, headerLen)
	}
	m.framed = m.framed[:headerLen]
	m.prev, m.first, m.last = m.prev[:0], m.first[:0], m.last[:0]
	return m
}

func (p *pools) keepWriter(m *writerMemory) {
	if cap(m.framed)+cap(m.scratch)+cap(m.prev)+cap(m.first)+cap(m.last) <= 2*keepMax {
		p.writers.Put(m)
	}
}

// readerMemory is what a Reader works in: a block as it is stored, and decoded.
type readerMemory struct{ stored, decoded, key []byte }

func (p *pools) reader() *readerMemory {
	if m, ok := p.readers.Get().(*readerMemory); ok {
		return m
	}
	return new(readerMemory)
}

func (p *pools) keepReader(m *readerMemory) {
	if cap(m.stored)+cap(m.decoded)+cap(m.key) <= keepMax {
		p.readers.Put(m)
	}
}
