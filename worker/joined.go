package worker

import (
	"fmt"

	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/plan"
)

// What is different for a worker that has joined from another process, maybe on another
// host: it is asked for signs of life, its files may be copies of the master's, and what
// is wrong with them is wrong with that host, not with the job.

// Beat answers with a sign of life.
func (s *Service) Beat(b *plan.Beat, alive *plan.Alive) error {
	if s.o.Alive != nil {
		*alive = s.o.Alive()
	}
	alive.Number = b.Number
	return nil
}

// Leave tells the worker that the master has no use for it any more.
func (s *Service) Leave(l *plan.Leave, _ *struct{}) error {
	if s.o.Leave != nil {
		s.o.Leave(l.Reason)
	}
	return nil
}

// Close cancels all attempts, since nobody is left to answer to.
func (s *Service) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, a := range s.attempts {
		a.cancel()
		if a.loaded != nil {
			a.loaded.Close()
			a.loaded = nil
			delete(s.attempts, id)
		}
	}
}

// here gives a split the stamps of this host's files, if there is reason to. A file must
// be there and as long as the master has listed it; a copy's stamps say nothing about
// the master's file, so the digest must not be remembered under those (moved). A file that
// has grown meanwhile is read up to where it was planned to end. Of a worker that is apart, a file with
// the device and inode of the master's is a copy all the same: fresh disks of hosts that are alike give
// what is copied to them the same numbers.
func here(split input.Split, apart bool) (s input.Split, moved bool, err error) {
	s, err = split.Restamp()
	if err != nil {
		return split, false, err
	}
	for i := range s.Pieces {
		p, was := &s.Pieces[i], split.Pieces[i].Stamp
		switch {
		case p.Stamp == was:
		case p.Stamp.Size < was.Size:
			return split, false, fmt.Errorf("%s: it has %d bytes here, and %d where the job was planned", p.Path, p.Stamp.Size, was.Size)
		case !apart && p.Stamp.Dev == was.Dev && p.Stamp.Ino == was.Ino:
			p.Stamp = was // the very same file: what has become of it is judged as always
		default:
			p.Stamp.Size, moved = was.Size, true
		}
	}
	return s, moved, nil
}

// there says on which host a failure was met. What a host's files are to blame for is no
// verdict on the job: another worker may have the right ones.
func (s *Service) there(f plan.Failure) plan.Failure {
	if s.o.Host == "" || f.Kind == plan.Cancelled || f.Kind == plan.LostRun {
		return f
	}
	f.Message = "on " + s.o.Host + ": " + f.Message
	if f.Kind == plan.BadInput || f.Kind == plan.Changed {
		f.Kind = plan.UserError
	}
	return f
}
