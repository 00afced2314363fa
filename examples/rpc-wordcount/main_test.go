package main

import (
	"bytes"
	"testing"
)

func TestLecture(t *testing.T) {
	var out bytes.Buffer
	if err := run(&out, "", "", lecture); err != nil {
		t.Fatal(err)
	}
	const want = `synchronous  hello:3 I:1 am:1 good:2 bye:3 night:1
channel      hello:3 I:1 am:1 good:2 bye:3 night:1
client.Go    hello:3 I:1 am:1 good:2 bye:3 night:1
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestNobodyThere(t *testing.T) {
	if err := run(&bytes.Buffer{}, "", "127.0.0.1:1", lecture); err == nil {
		t.Error("no error")
	}
}
