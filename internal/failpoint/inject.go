//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"sync"
)

// Enabled says whether this build has failpoints.
const Enabled = true

// current is what the environment asks for. It is the package's one variable: places all
// over the program can't be handed a value, and this build is never a release.
var current = sync.OnceValue(func() *plan {
	p, err := parse(os.Getenv("MR_FAILPOINTS"), os.Getenv("MR_FAILPOINTS_LOG"))
	if err != nil {
		fmt.Fprintf(os.Stderr, "MR_FAILPOINTS: %v\n", err)
		os.Exit(2)
	}
	return p
})

// Hit does what the environment asks for at the place called name.
func Hit(name string) error { return current().hit(name) }
