// The source of Argo Workflows 4.0.5, as a module: build.sh downloads it, verified by go.sum, and builds it in a copy.
module stepmemo.io/cluster/argo

go 1.24

require github.com/argoproj/argo-workflows/v4 v4.0.5
