package plan

import (
	"strings"

	"github.com/mrd-io/mr"
)

// Args returns arguments that give a job these parameters, whatever the defaults of its flags are by then.
func Args(params []mr.Param) []string {
	var flags, rest []string
	for _, p := range params {
		if strings.HasPrefix(p.Name, "--") {
			flags = append(flags, p.Name+"="+p.Value)
		} else {
			rest = append(rest, p.Value)
		}
	}
	if len(rest) > 0 {
		flags = append(append(flags, "--"), rest...)
	}
	return flags
}
