package mrtest

import (
	"context"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/local"
)

// What the tests of this repository do with an M beyond what authors need.

// Reopen closes the store and opens it with another node.
func (m *M) Reopen(o local.Options) {
	m.t.Helper()
	if err := m.node.Close(context.Background()); err != nil {
		m.t.Fatal(err)
	}
	m.open(o)
}

// DryRun says what TryOn would run.
func (m *M) DryRun(job string, inputs []string, o Options) (mr.Explanation, error) {
	return m.node.Jobs().DryRun(m.t.Context(), m.spec(job, inputs, o))
}

// Explain says why a job's tasks ran.
func (m *M) Explain(job mr.JobID) (mr.Explanation, error) {
	return m.node.Jobs().Explain(m.t.Context(), job, "")
}

// Cache is the engine's cache.
func (m *M) Cache() mr.Cache { return m.node.Jobs().(mr.Cache) }
