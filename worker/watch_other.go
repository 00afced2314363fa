//go:build !(linux && (amd64 || arm64))

package worker

import "errors"

// watcher is for Linux: elsewhere nobody sees which files a process opens.
type watcher struct{}

// CanWatch says why nobody sees here what processes open.
func CanWatch() error { return errors.ErrUnsupported }

func newWatcher(func(error)) (*watcher, error) { return nil, errors.ErrUnsupported }

func (*watcher) watch(*opened) (moved bool, err error) { return false, nil }

func (*watcher) close() {}
