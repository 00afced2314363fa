package engine

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// What an author's code opens besides its input is seen by the worker (worker/watch_linux.go), and is
// in the keys of what comes of it. Which files these are is known only when a task has run: so the paths
// are remembered by job, and the next job has the files' digests in the keys of its stages. A
// task that opens a file which was not known when its job was planned, or finds another than was there
// then, has made an output for its own job and for no other.

const (
	openedPrefix = "opened/"
	mostFiles    = 4096 // of one job, that are remembered
	mostNamed    = 20   // of one job, that its log and its warnings name
	mostUnowned  = 1024 // jobs whose files are remembered although none of that name is on record any more
)

// openedKey is where the paths are that one phase of a job opens, the latest last, with a zero byte behind each. Versions
// of the code share them, lest each edit begins anew.
func openedKey(r *record, k plan.Kind) []byte {
	d := plan.Sum("mr/opened", []byte(r.Traits.Job+"\x00"+r.Spec.Code.Source))
	return append(append([]byte(openedPrefix), byte(k)), d[:]...)
}

func openedPaths(tx *store.Tx, r *record, k plan.Kind) (paths []string) {
	for b := tx.Get(store.Meta, openedKey(r, k)); len(b) > 0; {
		path, rest, _ := bytes.Cut(b, []byte{0})
		paths, b = append(paths, string(path)), rest
	}
	return paths
}

// knowFiles sets what the code of a job that is planned is known to open, as it is now.
func (e *Engine) knowFiles(r *record) error {
	r.Files = [2][]plan.Opened{}
	if r.Spec.Code.Kind != mr.Binary {
		return nil
	}
	var paths [2][]string
	err := e.o.Store.View(func(tx *store.Tx) error {
		for k := plan.Map; k <= plan.Reduce; k++ {
			paths[k] = openedPaths(tx, r, k)
		}
		return nil
	})
	for k := range paths {
		slices.Sort(paths[k])
		for _, path := range paths[k] {
			d, _ := e.digests.Of(path)
			if d.IsZero() { // it can't be read, or is just being written: nobody else may have that
				d = plan.Sum("mr/unknown file", []byte(r.ID))
			}
			r.Files[k] = append(r.Files[k], plan.Opened{Path: path, Digest: d})
		}
	}
	return err
}

// surprised reports whether an attempt's process has opened a file that the job's keys don't know, or not so.
func (j *job) surprised(f *flight) bool { return len(j.surprises(f)) > 0 }

func (j *job) surprises(f *flight) (paths []string) {
	if f.work.Copy {
		return nil
	}
	return unknownFiles(f.result.Opened, j.rec.Files[f.task.kind])
}

// unknownFiles are the paths of those of a task's files that are not among the known ones, or did not hold
// the same, or may have changed while they were read. Both are sorted by path; known may have several of one.
func unknownFiles(opened, known []plan.Opened) (paths []string) {
	for _, o := range opened {
		for len(known) > 0 && known[0].Path < o.Path {
			known = known[1:]
		}
		found := false
		for i := 0; i < len(known) && known[i].Path == o.Path && !found; i++ {
			found = known[i] == o
		}
		if !found || o.Digest.IsZero() {
			paths = append(paths, o.Path)
		}
	}
	return paths
}

// changedFile is why a task can't be compared with its output.
func changedFile(path string) error {
	return fmt.Errorf("%s, which its code opens, may have changed since", path)
}

// alone returns the key of what no other task may have of an output's.
func (id taskID) alone(key mr.Digest) mr.Digest {
	return plan.Sum("mr/private", append([]byte(string(id.job)+"/"+plan.TaskName(id.kind, id.index)+"/"), key[:]...))
}

// learn remembers the files that a task has opened and its job did not know of. It reports whether there are
// such, or others than those that it knew of.
func (l *loop) learn(b *batchWriter, j *job, id taskID, f *flight) bool {
	paths := j.surprises(f)
	if len(paths) == 0 {
		return false
	}
	for _, path := range paths {
		l.sayOpened(j, id, path)
	}
	key, r := openedKey(&j.rec, id.kind), &j.rec
	b.add(func(tx *store.Tx) error {
		all, more := remembered(openedPaths(tx, r, id.kind), paths)
		if !more {
			return nil
		}
		return tx.Put(store.Meta, key, []byte(strings.Join(all, "\x00")+"\x00"))
	})
	return true
}

// remembered returns the paths that a job is known to open with those that are new, and whether there are such. Where
// there are too many the first go: a job may have a file of another name each day, and they must not keep the last one out.
func remembered(all, opened []string) (_ []string, more bool) {
	known := map[string]bool{"": true}
	for _, path := range all {
		known[path] = true
	}
	for _, path := range opened {
		if !known[path] {
			all, more = append(all, path), true
		}
	}
	return all[max(len(all)-mostFiles, 0):], more
}

// sayOpened says in a job's log, once, that its code has opened a file of which its keys don't know.
func (l *loop) sayOpened(j *job, id taskID, path string) {
	if path == "" {
		l.warn(j, fmt.Sprintf("the job's code opens more than %d files: what was made with them is not used by other jobs", mostFiles))
		return
	}
	if j.opened[path] || len(j.opened) > mostNamed {
		return
	}
	if j.opened == nil {
		j.opened = map[string]bool{}
	}
	j.opened[path] = true
	known := slices.ContainsFunc(j.rec.Files[id.kind], func(o plan.Opened) bool { return o.Path == path })
	switch {
	case len(j.opened) > mostNamed:
		l.logf(j, "", "there are more files of this kind, which are not named")
	case known:
		l.warn(j, fmt.Sprintf("%s, which the job's code opens, changed while it ran or a moment before: what was made with it is not used by other jobs", path))
	default:
		l.logf(j, plan.TaskName(id.kind, id.index), "the job's code opens %s: what was made with it is not used by other jobs; those to come have the file in their keys", path)
	}
}

// dropOpened forgets the files of jobs of which none is on record, once there are many: the next of that name
// then computes its tasks once more than it needs to.
func dropOpened(tx *store.Tx) error {
	used := map[string]bool{}
	err := eachJob(tx, func(r *record) error {
		for k := plan.Map; k <= plan.Reduce; k++ {
			used[string(openedKey(r, k))] = true
		}
		return nil
	})
	unowned := 0
	if err == nil {
		err = tx.Scan(store.Meta, []byte(openedPrefix), func(k, _ []byte) error {
			if !used[string(k)] {
				unowned++
			}
			return nil
		})
	}
	if err != nil || unowned <= mostUnowned {
		return err
	}
	return dropAll(tx, store.Meta, []byte(openedPrefix), func(k, _ []byte) (bool, error) { return !used[string(k)], nil })
}
