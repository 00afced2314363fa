package corpus

import (
	"io"
	"strconv"
	"time"
)

// logs makes access-log lines of Apache's combined format, in the order of time.
type logs struct {
	rnd   random
	zipf  *zipf
	words *vocabulary
	milli int64  // of the current line, since the epoch
	stamp []byte // of its second, formatted
}

// The first line's time. Lines come about ten a second.
var logStart = time.Date(2025, time.June, 1, 0, 0, 0, 0, time.UTC)

func (l *logs) line(dst []byte) int {
	x, y := l.rnd.next(), l.rnd.next()
	b := l.address(dst[:0], x)
	b = append(b, " - - ["...)
	b = append(b, l.tick(x>>56)...)
	b = append(b, "] \""...)
	b = append(b, [8]string{"GET", "GET", "GET", "GET", "GET", "GET", "POST", "HEAD"}[y>>8&7]...)
	b = append(b, ' ')
	b = l.path(b, y)
	b = append(b, " HTTP/1.1\" "...)
	b = append(b, [16]string{"200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "304", "304", "301", "404", "404", "500"}[y>>12&15]...)
	b = append(b, ' ')
	b = strconv.AppendUint(b, 180+y>>16&0xfff*(y>>28&15+1), 10)
	b = append(b, " \""...)
	if y>>33&3 == 0 {
		b = append(b, '-')
	} else {
		b = append(b, "https://www.example.com"...)
		b = l.path(b, y>>35|y<<29)
	}
	b = append(b, "\" \""...)
	b = l.agent(b, mix(x&0xff))
	b = append(b, "\"\n"...)
	return len(b)
}

// address writes an IPv4 address: some clients come often.
func (l *logs) address(b []byte, x uint64) []byte {
	a := mix(uint64(l.zipf.draw(x)))
	if x>>14&3 == 0 {
		a = mix(x)
	}
	for i := range 4 {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendUint(b, a>>(8*i)&255, 10)
	}
	return b
}

// tick moves time on, by up to 200 ms, and returns it.
func (l *logs) tick(x uint64) []byte {
	second := l.milli / 1000
	l.milli += int64(x * 200 >> 8)
	if l.milli/1000 != second || l.stamp == nil {
		l.stamp = time.UnixMilli(l.milli).UTC().AppendFormat(l.stamp[:0], "02/Jan/2006:15:04:05 -0700")
	}
	return l.stamp
}

// path writes a path of one to three words, of which some are frequent.
func (l *logs) path(b []byte, y uint64) []byte {
	for i := range 1 + y>>62 {
		w := &l.words.head[(uint64(l.zipf.draw(mix(y>>36)))+i*i*37)%headRanks]
		b = append(b, '/')
		b = append(b, w.bytes[:w.n]...)
	}
	if y>>40&1 == 0 {
		b = append(b, "?id="...)
		b = strconv.AppendUint(b, y>>44, 10)
	}
	return b
}

func (l *logs) agent(b []byte, x uint64) []byte {
	b = append(b, "Mozilla/5.0 ("...)
	b = append(b, [4]string{"X11; Linux x86_64", "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "iPhone; CPU iPhone OS 18_1 like Mac OS X"}[x&3]...)
	b = append(b, ") Gecko/20100101 Firefox/"...)
	b = strconv.AppendUint(b, 100+x>>8&31, 10)
	return append(b, ".0"...)
}

// Logs writes size bytes of access log.
func Logs(w io.Writer, seed uint64, size int64) error {
	l := &logs{rnd: newRandom(seed), zipf: newZipf(goTail), words: newMixedVocabulary(), milli: logStart.UnixMilli()}
	return stream(w, size, l.line)
}
