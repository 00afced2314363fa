package engine

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// Impact implements mr.Jobs. Jobs have on record the paths by which they read their files, and their outputs those that
// their code has opened; a file is also found under its other names, as far as symbolic links lead to it now.
func (c Catalog) Impact(_ context.Context, file string) (list []mr.Status, err error) {
	asked := newAsked(file)
	err = c.Store.View(func(tx *store.Tx) error {
		uses := map[mr.Digest]bool{}  // plans, which jobs share
		opens := map[mr.Digest]bool{} // lists of opened files, likewise
		return tx.Scan(store.Jobs, nil, func(_, v []byte) error {
			r, err := decodeJob(v)
			if err != nil || r.Plan.IsZero() {
				return err
			}
			used, known := uses[r.Plan]
			if !known {
				splits, err := splitsOf(tx, r)
				if err != nil {
					return err
				}
				used = asked.in(splits)
				uses[r.Plan] = used
			}
			if !used && r.Spec.Code.Kind == mr.Binary {
				if used, err = asked.openedBy(tx, r.ID, opens); err != nil {
					return err
				}
			}
			if used {
				list = append(list, r.status())
			}
			return nil
		})
	})
	if err == nil && len(list) == 0 {
		err = mr.Errorf(mr.NotFound, "no job on record has read %s", asked.path)
	}
	return list, err
}

// asked is the file, or the folder of files, that a question is about.
type asked struct {
	path string            // as it was given, clean
	real string            // without symbolic links
	stat *syscall.Stat_t   // nil: there is no such file any more
	dirs map[string]string // folders of input files → the same without symbolic links
}

func newAsked(file string) *asked {
	a := &asked{path: filepath.Clean(file), dirs: map[string]string{}}
	a.real = a.folder(filepath.Dir(a.path), filepath.Base(a.path)) // of a file that is gone
	if real, err := filepath.EvalSymlinks(a.path); err == nil {
		a.real = real
		if info, err := os.Stat(real); err == nil {
			a.stat, _ = info.Sys().(*syscall.Stat_t)
		}
	}
	return a
}

// in reports whether splits have a piece of the file, or of a file in the folder.
func (a *asked) in(splits []input.Split) bool {
	for _, s := range splits {
		for i := range s.Pieces {
			if a.is(&s.Pieces[i]) {
				return true
			}
		}
	}
	return false
}

// openedBy reports whether the code of a job has opened the file, or one in the folder. known are lists that were
// looked at.
func (a *asked) openedBy(tx *store.Tx, job mr.JobID, known map[mr.Digest]bool) (yes bool, err error) {
	err = eachTask(tx, job, func(_ taskID, t *lineage.Task) error {
		if yes || t.Key.IsZero() {
			return nil
		}
		out, err := lineage.GetOutput(tx, t.Key)
		if err != nil || out == nil || out.Opened.IsZero() {
			return err
		}
		opens, seen := known[out.Opened]
		if !seen {
			opens = slices.ContainsFunc(lineage.GetOpened(tx, out.Opened), func(f plan.Opened) bool {
				return f.Path != "" && a.is(&input.Piece{Path: f.Path})
			})
			known[out.Opened] = opens
		}
		yes = opens
		return nil
	})
	return yes, err
}

func (a *asked) is(p *input.Piece) bool {
	if below(p.Path, a.path) {
		return true
	}
	dir, name := filepath.Split(p.Path)
	if below(a.folder(dir, name), a.real) {
		return true
	}
	// A link in the last place is looked at only where it can lead to the file: there may be
	// very many pieces.
	if a.stat == nil || p.Stamp.Ino != a.stat.Ino || p.Stamp.Dev != uint64(a.stat.Dev) { //nolint:unconvert // of another type elsewhere
		return false
	}
	real, err := filepath.EvalSymlinks(p.Path)
	return err == nil && real == a.real
}

// folder returns the path of name in dir without the symbolic links of dir, which is looked
// at once.
func (a *asked) folder(dir, name string) string {
	real, known := a.dirs[dir]
	if !known {
		var err error
		if real, err = filepath.EvalSymlinks(dir); err != nil {
			real = dir
		}
		a.dirs[dir] = real
	}
	return filepath.Join(real, name)
}
