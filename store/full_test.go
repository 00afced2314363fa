package store_test

func childFull(dir string) error { return nil }
