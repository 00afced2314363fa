package local

import (
	"io/fs"
	"syscall"
)

func blocks(info fs.FileInfo) int64 { return int64(info.Sys().(*syscall.Stat_t).Blocks) } //nolint:unconvert // of another type elsewhere
