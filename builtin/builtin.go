package builtin

import "github.com/mrd-io/mr"

// Jobs returns the built-in jobs.
func Jobs() []*mr.Definition {
	return []*mr.Definition{count(), grep(), index(), sort(), wordcount()}
}

// Lookup returns a function that finds a built-in job by its name: the same value each time,
// so that what was made of it can be found again.
func Lookup() func(name string) (*mr.Definition, bool) {
	jobs := Jobs()
	return func(name string) (*mr.Definition, bool) {
		for _, d := range jobs {
			if d.Name() == name {
				return d, true
			}
		}
		return nil, false
	}
}

// first is the combiner of jobs whose values say nothing.
func first(a, _ mr.None) mr.None { return a }
