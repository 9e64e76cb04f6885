package store

// WithoutTmpfile makes d act as on a filesystem without O_TMPFILE, and if
// noRename without RENAME_NOREPLACE either. Call it before any other use of d.
func WithoutTmpfile(d *Dir, noRename bool) { d.noTmpfile, d.noRename = true, noRename }

// TempPrefix begins the names of temporary files in a directory.
const TempPrefix = tempPrefix
