// Package input lists, splits, fingerprints and reads the files that jobs map.
//
// # Nouns
//
//   - A [Stamp] is what stat says about a file: it decides whether a file has to be
//     read again, never whether two files are equal.
//   - A [File] is a path and its stamp, found by [List] from patterns.
//   - A [Piece] is a whole file, or a byte range of a large plain file. The records
//     that begin inside the range belong to the piece, so ranges can be cut without
//     looking at a file, and each record belongs to exactly one piece.
//   - A [Split] is the input of one map task: a piece of a large file, or a pack of
//     whole small files. [Cut] makes the splits of a job from its files.
//   - A [Loaded] split has been read and hashed. Its digest is the split's identity,
//     and its blocks are what the mapper sees.
//
// # Contract
//
// List, Cut and the encodings are functions of their arguments and, for List, of the
// file tree: the same files give the same splits on every machine, in path order.
//
// The digest covers the bytes that are mapped and nothing else: for each piece how
// it is decoded, its stored length and the BLAKE3 of its stored bytes. It holds no path,
// no offset and no time, so a copied, renamed or rotated file has the digest it had.
// A job that can see paths and offsets adds [Split.Positions] to its key.
//
// Blocks hold whole records and come in piece order, then offset order. An empty
// file gives no block, except in the whole format, where it is one empty record.
//
// Files are read with pread, never mapped into memory: another process that truncates
// a mapped file would kill this one. A file that no longer has the stamp it was listed
// with gives [ErrChanged]; bytes that are read twice are hashed twice and compared.
//
// A plain file of lines or fixed records may grow meanwhile, as logs do: what was there
// when it was listed is read, and what was appended is left for the next job, but for the
// rest of a record that was torn at the end. The digest is that of the bytes read in
// any case; [Loaded.Moved] says that the stamps do not vouch for it.
//
// A program that writes through a memory map moves a file's times with its first write to a
// clean page, and not with its next ones to that page. So before a file is read, dirty pages
// that may be mapped are written back (calm_linux.go).
//
// # Invariants
//
//   - Concatenating the plain blocks of all splits of a file gives the file.
//   - Bytes appended to a text file change the digest of its last range and add
//     ranges; the ranges before stay as they are, if the file ended with a record end.
//   - Adding, removing or changing one small file changes the packs within one pack's
//     length of it, and no others.
//   - Nothing is dropped in silence: a read error, a torn record, data that does not
//     decompress to its end and a record beyond the limit are errors that name the file.
//     (A framed s2 or snappy file that was truncated exactly between two of its frames is
//     a complete file by its format, and cannot be told from one.)
//
// The engine calls List and Cut, the worker calls Load; the engine does so too, to find out
// whether stamps tell the truth. Everything may be called from
// several goroutines; one Loaded and its block readers belong to one goroutine at a time.
package input
