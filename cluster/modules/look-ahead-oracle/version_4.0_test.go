// What the oracle calls of Argo 4.0.
package controller

import (
	"context"

	"k8s.io/client-go/tools/cache"

	wfv1 "github.com/argoproj/argo-workflows/v4/pkg/apis/workflow/v1alpha1"
	"github.com/argoproj/argo-workflows/v4/util/logging"
)

func oracleContext() context.Context {
	return logging.WithLogger(context.Background(), logging.NewSlogLogger(logging.Error, logging.Text))
}

func oracleController(ctx context.Context, objects ...interface{}) (context.CancelFunc, *WorkflowController) {
	return newController(ctx, objects...)
}

func oracleOperation(ctx context.Context, wf *wfv1.Workflow, controller *WorkflowController) *wfOperationCtx {
	return newWorkflowOperationCtx(ctx, wf, controller)
}

func oraclePods(controller *WorkflowController) cache.Store {
	return controller.PodController.TestingPodInformer().GetStore()
}

func oracleMarkComplete(ctx context.Context, wf *wfv1.Workflow, nodeID string) {
	wf.Status.MarkTaskResultComplete(ctx, nodeID)
}
