package input

// Small files are packed in path order into splits of at most SplitSize bytes and maxPack
// files, half of that on average. Where a pack ends must not depend on what lies far
// away, or one new file would move all packs after it. So a run of files that is too
// large for a pack is divided after the file whose name has the smallest hash, and
// both halves in the same way until each is small enough. The division is that of a treap:
// it depends on the set of names and sizes only, and a file that comes, goes or changes
// disturbs the packs within one pack's length of it, whatever happens to the hashes.
//
// Rejected: closing a pack after any file whose hash is below a bound, subject to a
// minimum and a maximum size. Each forced or skipped end depends on where the pack began,
// so a disturbance runs on until both cuttings happen to meet again.
//
// The hash is of the base name alone; equal ones are told apart by the parent's name, then
// by the whole path. A copied or moved folder is therefore packed as its original, and hits.

// maxPack is the most files of a pack.
const maxPack = 4096

// pack appends the packs of files to splits.
func pack(splits []Split, files []File, limit int64) []Split {
	if len(files) == 0 {
		return splits
	}
	p := newPacker(files)
	pieces := make([]Piece, len(files)) // one backing array for all packs
	for i, f := range files {
		pieces[i] = Piece{Path: f.Path, Len: -1, Stamp: f.Stamp}
	}
	type span struct{ lo, hi, root int }
	todo := []span{{0, len(files), p.root}}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if s.hi-s.lo == 1 || s.hi-s.lo <= maxPack && p.sum[s.hi]-p.sum[s.lo] <= limit {
			splits = append(splits, Split{Pieces: pieces[s.lo:s.hi:s.hi]})
			continue
		}
		end := s.root + 1
		todo = append(todo, span{end, s.hi, p.right[s.root]}, span{s.lo, end, p.left[s.root]})
	}
	return splits
}

// packer holds the treap over the ends of all files but the last.
type packer struct {
	files       []File
	hash        []uint64 // of the base names
	sum         []int64  // sum[i]: bytes of files[:i]
	left, right []int    // children; -1: none
	root        int
}

func newPacker(files []File) *packer {
	n := len(files)
	p := &packer{
		files: files, hash: make([]uint64, n), sum: make([]int64, n+1),
		left: make([]int, n), right: make([]int, n), root: -1,
	}
	for i, f := range files {
		p.hash[i] = hashTail(f.Path, 1)
		p.sum[i+1] = p.sum[i] + f.Stamp.Size
	}
	spine := make([]int, 0, 64) // the path from the root to the right
	for i := range n - 1 {
		last := -1
		for len(spine) > 0 && p.before(i, spine[len(spine)-1]) {
			last = spine[len(spine)-1]
			spine = spine[:len(spine)-1]
		}
		p.left[i], p.right[i] = last, -1
		if len(spine) > 0 {
			p.right[spine[len(spine)-1]] = i
		} else {
			p.root = i
		}
		spine = append(spine, i)
	}
	return p
}

// before reports whether files are divided after i rather than after j.
func (p *packer) before(i, j int) bool {
	if p.hash[i] != p.hash[j] {
		return p.hash[i] < p.hash[j]
	}
	for depth := 2; ; depth = len(p.files[i].Path) {
		a, b := hashTail(p.files[i].Path, depth), hashTail(p.files[j].Path, depth)
		if a != b {
			return a < b
		}
		if depth > 2 || depth >= len(p.files[i].Path) {
			return i < j
		}
	}
}

// hashTail hashes the last components of a path: FNV-1a, and a final mix because its high
// bits alone are poor. The values shape the splits and so the keys: they must never change.
func hashTail(path string, components int) uint64 {
	from := len(path)
	for ; from > 0; from-- {
		if path[from-1] == '/' {
			if components--; components == 0 {
				break
			}
		}
	}
	h := uint64(0xcbf29ce484222325)
	for i := from; i < len(path); i++ {
		h = (h ^ uint64(path[i])) * 0x100000001b3
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
