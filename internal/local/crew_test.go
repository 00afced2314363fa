package local

import (
	"errors"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/rpcsvc"
)

// A worker's name stands in tables and logs, and tells it from the daemon's own.
func TestWorkerNames(t *testing.T) {
	n := openNode(t, t.TempDir())
	for name, good := range map[string]bool{
		"host-1.lan": true, "the big one": true, "großer Rechner": true, strings.Repeat("n", nameMost): true,
		"": false, "daemon": false, "a\nb": false, "\x1b[2J": false, "\xff": false, strings.Repeat("n", nameMost+1): false,
	} {
		_, err := n.Crew().Join(t.Context(), rpcsvc.JoinRequest{Name: name, Slots: 1, Platform: Platform(), Version: "v1"})
		if good && err != nil {
			t.Error(err)
		}
		if !good && (!errors.Is(err, mr.ErrUsage) || !strings.Contains(err.Error(), "--name")) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
