package collect

// Source says which of the cursors that were given to Merge the current record of its
// cursor comes from.
func Source(c Cursor) int {
	if m, ok := c.(*merge); ok {
		return int(m.losers[0])
	}
	return 0 // the only one
}
