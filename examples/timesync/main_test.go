package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(&out, "", "", 700*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) < 2 || !strings.HasPrefix(lines[0], "SyncTime: 2") || !strings.Contains(lines[1], " ± ") {
		t.Errorf("got\n%s", out.String())
	}
}

func TestNobodyThere(t *testing.T) {
	if err := run(&bytes.Buffer{}, "", "127.0.0.1:1", time.Second); err == nil {
		t.Error("no error")
	}
}
