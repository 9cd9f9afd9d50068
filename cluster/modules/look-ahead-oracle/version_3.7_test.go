// What the oracle calls of Argo 3.7.
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

func oraclePods(controller *WorkflowController) cache.Store {
	return controller.PodController.TestingPodInformer().GetStore()
}

func oracleMarkComplete(_ context.Context, wf *wfv1.Workflow, nodeID string) {
	wf.Status.MarkTaskResultComplete(nodeID)
}
