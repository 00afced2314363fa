package rpcsvc

import (
	"context"
	"errors"
	"net/rpc"
	"strings"

	"github.com/mrd-io/mr"
)

// kindNames are the prefixes of errors on the wire, "refused: …". Append only.
var kindNames = [...]string{
	mr.Failed: "failed", mr.Usage: "usage", mr.Unreachable: "unreachable", mr.Damaged: "damaged",
	mr.Refused: "refused", mr.NotFound: "notfound", mr.Interrupted: "interrupted",
}

// drainingText is the message of a call that a stopping server gave up. A client may
// make the call again, elsewhere or later.
const drainingText = "the daemon is stopping; ask again"

var errDraining = mr.Errorf(mr.Unreachable, drainingText)

// wireError is an error as a handler returns it: net/rpc sends its text.
type wireError struct{ err error }

func (e wireError) Error() string {
	return kindNames[kindOf(e.err)] + ": " + e.err.Error()
}

// kindOf is mr.KindOf for errors of the context as well.
func kindOf(err error) mr.Kind {
	if _, ok := errors.AsType[*mr.Error](err); !ok &&
		(errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return mr.Interrupted
	}
	kind := mr.KindOf(err)
	if kind < 1 || int(kind) >= len(kindNames) {
		return mr.Failed
	}
	return kind
}

// badBody is the answer to a body that could not be decoded.
func badBody(err error) *mr.Error { return mr.Errorf(mr.Usage, "request: %w", err) }

func toWire(err error) error {
	if err == nil {
		return nil
	}
	return wireError{err}
}

// splitKind reads "kind: message". What has no kind comes from net/rpc itself
// (a method it can't find, a body it can't decode): the request is wrong.
func splitKind(text string) (mr.Kind, string) {
	if name, msg, ok := strings.Cut(text, ": "); ok {
		for kind, known := range kindNames {
			if known != "" && known == name {
				return mr.Kind(kind), msg
			}
		}
	}
	return mr.Usage, text
}

// fromWire makes a server's error the *mr.Error that it was there.
func fromWire(text rpc.ServerError) *mr.Error {
	kind, msg := splitKind(string(text))
	return &mr.Error{Kind: kind, Msg: msg}
}
