// What the oracle calls of Argo 3.4.
package controller

import (
	"context"

	log "github.com/sirupsen/logrus"
	"k8s.io/client-go/tools/cache"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
)

func oracleContext() context.Context {
	log.SetLevel(log.ErrorLevel)
	return context.Background()
}

func oracleController(_ context.Context, objects ...interface{}) (context.CancelFunc, *WorkflowController) {
	return newController(objects...)
}

func oracleOperation(_ context.Context, wf *wfv1.Workflow, controller *WorkflowController) *wfOperationCtx {
	return newWorkflowOperationCtx(wf, controller)
}

func oraclePods(controller *WorkflowController) cache.Store { return controller.podInformer.GetStore() }

// A task result is complete as soon as it is there.
func oracleMarkComplete(context.Context, *wfv1.Workflow, string) {}
