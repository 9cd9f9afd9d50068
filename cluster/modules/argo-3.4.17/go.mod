// The source of Argo Workflows 3.4.17, as a module: build.sh downloads it, verified by go.sum, and builds it in a copy.
module stepmemo.io/cluster/argo

go 1.24

require github.com/argoproj/argo-workflows/v3 v3.4.17
