package builtin

import "github.com/mrd-io/mr"

// Jobs returns the built-in jobs.
func Jobs() []*mr.Definition {
	return []*mr.Definition{count(), grep(), index(), sort(), wordcount()}
}

// Lookup returns the built-in job of that name.
func Lookup(name string) (*mr.Definition, bool) {
	for _, d := range Jobs() {
		if d.Name() == name {
			return d, true
		}
	}
	return nil, false
}

// first is the combiner of jobs whose values say nothing.
func first(a, _ mr.None) mr.None { return a }
