// Command submit-stock submits a word count to a daemon with nothing but net/rpc:
//
//	go run ./examples/submit-stock ~/.local/state/mr/mrd.sock /absolute/output /absolute/input...
//
// Field names are all that matters to gob: the types below are its own, with the
// fields it needs. Keep the submit id and send it again after an error: the daemon makes
// one job of it.
package main

import (
	"crypto/rand"
	"fmt"
	"log"
	"net/rpc"
	"os"
)

type spec struct {
	Job    string
	Inputs []string
	Output string
}

func main() {
	if len(os.Args) < 4 {
		log.Fatal("usage: submit-stock SOCKET OUTPUT INPUT...")
	}
	daemon, err := rpc.Dial("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	request := struct {
		SubmitID string
		Spec     spec
	}{"stock-" + rand.Text(), spec{"wordcount", os.Args[3:], os.Args[2]}}
	var reply struct{ Job string }
	if err := daemon.Call("Jobs.Submit", request, &reply); err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.Job)
}
