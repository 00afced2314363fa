module github.com/mrd-io/mr/bench/ntp

go 1.26.0

require (
	github.com/beevik/ntp v1.6.0
	github.com/mrd-io/mr v0.0.0
	golang.org/x/sys v0.49.0
)

require golang.org/x/net v0.59.0 // indirect

replace github.com/mrd-io/mr => ../..
