package store

// DropRun gives up a sealed run that nobody will commit: what an attempt made whose
// result came too late. It is of no effect on a run that is committed or unknown.
func (s *Store) DropRun(id RunID) {
	s.mu.Lock()
	var v *volume
	if p := s.pending[id]; p != nil && p.state == runSealed {
		v = p.end(runDiscarded)
	}
	s.mu.Unlock()
	if v != nil {
		s.releaseQuietly(v)
	}
}
