package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// What an author's code opens besides its input is seen by the worker (worker/watch_linux.go), and is on
// record with what came of it, as a list of paths with the digests of what was there. Another job uses
// such an output only if they all hold the same when it looks. So an output depends on what its own task has opened, and nobody
// need know beforehand what that is; ccache's manual calls such lists manifests.

const (
	mostNamed  = 20      // files that a job's log names, and its warnings
	mostOpened = 1 << 14 // files of which a job knows whether it has named them
)

// sideFiles tell what files hold, for all engines of this process.
var sideFiles input.Digests

// heldFiles are what lists of files have come to for one job. A list is compared once for a job: had it changed a moment later
// the job would not have seen it either. A nil one forgets. It is safe for concurrent use.
type heldFiles struct {
	mu    sync.Mutex
	lists map[mr.Digest]*changedFile // nil: all files are as they were
	paths map[string]mr.Digest

	looking sync.Mutex // held beside the loop: what many tasks wait for is read once
}

// changedFile is the first file of a list that does not hold the same; without a path it can't be told which.
type changedFile struct {
	path    string
	was, is mr.Digest // zero: not known
}

func (c changedFile) String() string {
	switch {
	case c.path == "":
		return "what files its code had opened is not known"
	case c.was.IsZero():
		return fmt.Sprintf("file %s was being written, or had just been, when it was read", c.path)
	}
	return fmt.Sprintf("file %s: %s → %s", c.path, c.was.Short(), c.is.Short())
}

// compare reports whether all files of a list on record hold what they held, and if not so, the first that does not.
func (h *heldFiles) compare(tx *store.Tx, list mr.Digest) (same bool, first changedFile) {
	if list.IsZero() {
		return true, first
	}
	if h == nil {
		h = &heldFiles{}
	}
	changed, known := h.known(list)
	if !known {
		changed = h.look(list, lineage.GetOpened(tx, list))
	}
	if changed == nil {
		return true, first
	}
	return false, *changed
}

// known returns what a list has come to, if it was compared. That never takes long.
func (h *heldFiles) known(list mr.Digest) (changed *changedFile, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed, known = h.lists[list]
	return changed, known
}

// look compares a list. Nobody waits for mu while files are read.
func (h *heldFiles) look(list mr.Digest, files []plan.Opened) *changedFile {
	changed := h.changed(files)
	h.mu.Lock()
	defer h.mu.Unlock()
	if first, known := h.lists[list]; known {
		return first
	}
	if h.lists == nil {
		h.lists = map[mr.Digest]*changedFile{}
	}
	h.lists[list] = changed
	return changed
}

// changed returns the first file of a list that does not hold the same, nil if they all do.
func (h *heldFiles) changed(files []plan.Opened) *changedFile {
	if len(files) == 0 { // its record is damaged, or gone
		return &changedFile{}
	}
	for _, f := range files {
		if f.Path == "" || f.Digest.IsZero() {
			return &changedFile{path: f.Path}
		}
		if now := h.now(f.Path); now != f.Digest {
			return &changedFile{f.Path, f.Digest, now}
		}
	}
	return nil
}

// now returns what a file held when the job first looked at it, which may be now.
func (h *heldFiles) now(path string) mr.Digest {
	if d, ok := h.of(path); ok {
		return d
	}
	d, _ := sideFiles.Of(path)
	h.mu.Lock()
	defer h.mu.Unlock()
	if first, ok := h.paths[path]; ok {
		return first
	}
	if h.paths == nil {
		h.paths = map[string]mr.Digest{}
	}
	h.paths[path] = d
	return d
}

// lookAside compares, beside the loop, the list of files of an output that is looked up, if the job has not done so yet, and then
// looks the output up again: the files may be large, or on a disk that does not answer.
func (l *loop) lookAside(j *job, a actLookup) (later bool) {
	files, out := j.rec.files, l.output(a.key)
	if files == nil || out == nil || out.Job == j.rec.ID || out.Opened.IsZero() {
		return false
	}
	if _, known := files.known(out.Opened); known {
		return false
	}
	l.e.spawn(func() {
		files.looking.Lock()
		list, err := l.e.openedList(out.Opened)
		if err != nil {
			l.e.log.Error("reading a list of opened files", "err", err)
		}
		files.look(out.Opened, list)
		files.looking.Unlock()
		l.e.request(l.e.ctx, func(l *loop) { //nolint:errcheck // stopped: looked up in the next life
			if _, t := l.core.task(a.task); t != nil && (a.attempt != 0 || t.key == a.key) {
				l.lookup(a)
			}
		})
	})
	return true
}

// of returns what a file held when the job looked at it, if it did.
func (h *heldFiles) of(path string) (d mr.Digest, ok bool) {
	if h == nil {
		return d, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	d, ok = h.paths[path]
	return d, ok
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

// someUnknown reports whether nobody knows what a file held when it was read.
func someUnknown(files []plan.Opened) bool {
	return slices.ContainsFunc(files, func(f plan.Opened) bool { return f.Digest.IsZero() })
}

func byPath(a, b plan.Opened) int { return strings.Compare(a.Path, b.Path) }

// errFileChanged is why a task can't be compared with its output.
func errFileChanged(path string) error {
	if path == "" {
		return errors.New("its code opens more files than could be noted")
	}
	return fmt.Errorf("%s, which its code opens, may have changed since", path)
}

// openedBy are the files that what an attempt has made depends on: those that its process has opened, and
// those of inner nodes that it has read.
func (l *loop) openedBy(f *flight) []plan.Opened {
	if f.work.Copy { // whose list is lost, if it has one
		return []plan.Opened{{}}
	}
	files := f.result.Opened
	for _, list := range f.opened {
		more, err := l.e.openedList(list)
		if err != nil {
			l.e.log.Error("reading a list of opened files", "err", err)
		}
		files = joinFiles(files, more)
	}
	return files
}

// joinFiles joins two lists. A file that did not hold the same in both is not known.
func joinFiles(a, b []plan.Opened) []plan.Opened {
	if len(b) == 0 {
		return append([]plan.Opened{{}}, a...)
	}
	all := slices.Concat(a, b)
	slices.SortFunc(all, byPath)
	joined := all[:0]
	for _, f := range all {
		if n := len(joined); n > 0 && joined[n-1].Path == f.Path {
			if joined[n-1] != f {
				joined[n-1].Digest = mr.Digest{}
			}
			continue
		}
		joined = append(joined, f)
	}
	return joined
}

// openedList reads a list of files; none if it is damaged.
func (e *Engine) openedList(list mr.Digest) (files []plan.Opened, err error) {
	err = e.o.Store.View(func(tx *store.Tx) error {
		files = lineage.GetOpened(tx, list)
		return nil
	})
	return files, err
}

// sayOpened says in a job's log, once, which files its code opens, and warns of those that change meanwhile.
func (l *loop) sayOpened(j *job, id taskID, files []plan.Opened) {
	for _, f := range files {
		was, known := j.opened[f.Path]
		if known && was == f.Digest || !known && len(j.opened) >= mostOpened {
			continue
		}
		if !known {
			was, known = j.rec.files.of(f.Path)
		}
		if j.opened == nil {
			j.opened = map[string]mr.Digest{}
		}
		j.opened[f.Path] = f.Digest
		say := func(text string) {
			if j.named++; j.named <= mostNamed {
				l.warn(j, text)
			}
		}
		switch {
		case f.Path == "":
			say("the job's code opens more files than are noted, or some that can't be seen: what was made with them is not used by other jobs")
		case f.Digest.IsZero():
			say(f.Path + ", which the job's code opens, changed while it ran or a moment before: what was made with it is not used by other jobs")
		case known && was != f.Digest:
			say(f.Path + ", which the job's code opens, changed while the job ran")
		case len(j.opened) == mostNamed:
			l.logf(j, "", "the job's code opens more files, which are not named")
		case len(j.opened) < mostNamed:
			l.logf(j, plan.TaskName(id.kind, id.index), "the job's code opens %s: when that changes, what was made with it is made anew", f.Path)
		}
	}
}
