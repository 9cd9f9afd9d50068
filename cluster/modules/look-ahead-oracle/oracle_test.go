// Runs Workflows by Argo's own controller code, with its fake clients, until they end: the oracle of look-ahead's tests. It is
// put beside the controller's own tests in a copy of its source, with the file of its version (cluster/build.sh look-ahead-oracle).
//
// STEPMEMO_ORACLE_IN names a file with one case a line, {"workflow": …, "templates": […], "seed": N}; STEPMEMO_ORACLE_OUT the file for one
// answer a line: how the workflow ended, and its nodes. With "behind": true each write of the workflow is first sent to
// STEPMEMO_ORACLE_RESOLVER, as the API server sends it to the webhook, which says what is stored and which pods end as hits.
package controller

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	apiv1 "k8s.io/api/core/v1"
	apierr "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	wfv1 "github.com/argoproj/argo-workflows/v4/pkg/apis/workflow/v1alpha1"
	fakewfclientset "github.com/argoproj/argo-workflows/v4/pkg/client/clientset/versioned/fake"
	"github.com/argoproj/argo-workflows/v4/workflow/common"
	wfutil "github.com/argoproj/argo-workflows/v4/workflow/util"
)

type oracleCase struct {
	Workflow json.RawMessage `json:"workflow"`
	// Stored WorkflowTemplates that it refers to.
	Templates []wfv1.WorkflowTemplate `json:"templates"`
	Seed      int64                   `json:"seed"`
	Number    int                     `json:"number"`
	Behind    bool                    `json:"behind"`
}

type oracleNode struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Phase    string   `json:"phase"`
	Message  string   `json:"message,omitempty"`
	Template string   `json:"template"`
	Scope    string   `json:"scope"`
	Display  string   `json:"display"`
	Boundary string   `json:"boundary"`
	Children []string `json:"children"`
	Outbound []string `json:"outbound"`
	Inputs   []string `json:"inputs"`
	Outputs  []string `json:"outputs"`
}

type oracleAnswer struct {
	Phase   string       `json:"phase"`
	Message string       `json:"message"`
	Looks   int          `json:"looks"`
	Pods    int          `json:"pods"`
	Nodes   []oracleNode `json:"nodes"`
	Error   string       `json:"error,omitempty"`
	// How it ended after `argo retry`, where it had failed.
	Retried *oracleAnswer `json:"retried,omitempty"`
	// The same after `argo resubmit --memoized`.
	Resubmitted *oracleAnswer `json:"resubmitted,omitempty"`
}

const (
	oracleLooks = 50
	// Many a memoized resubmission never ends: Argo does not resolve what its Skipped nodes give together.
	oracleResubmittedLooks = 20
	// Looks in a row without a pod that could end: nothing will come of it any more.
	oracleIdleLooks = 8
	oracleWorkers   = 16
	// Of so many writes one is a conflict.
	oracleConflictOneIn = 4
)

var oracleWorkflows = wfv1.SchemeGroupVersion.WithResource("workflows")

func TestStepmemoOracle(t *testing.T) {
	// Neither "true", which fills an informer that nobody reads here, nor "false", a second of sleep after each write of the workflow.
	t.Setenv("INFORMER_WRITE_BACK", "neither")
	in, err := os.Open(os.Getenv("STEPMEMO_ORACLE_IN"))
	if err != nil {
		t.Skip("no cases")
	}
	defer in.Close()
	out, err := os.Create(os.Getenv("STEPMEMO_ORACLE_OUT"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	writer := bufio.NewWriter(out)
	defer writer.Flush()
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 1<<20), 1<<26)
	lines := []string{}
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	for _, answer := range oracleAll(lines) {
		fmt.Fprintln(writer, answer)
	}
}

// oracleAll: a controller waits for its informers most of the time, so many run side by side.
func oracleAll(lines []string) []string {
	answers := make([]string, len(lines))
	open := make(chan int)
	var workers sync.WaitGroup
	for i := 0; i < oracleWorkers; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for i := range open {
				answers[i] = oracleAnswerTo(lines[i])
			}
		}()
	}
	for i := range lines {
		open <- i
	}
	close(open)
	workers.Wait()
	return answers
}

func oracleAnswerTo(line string) string {
	var one oracleCase
	answer := oracleAnswer{}
	if err := json.Unmarshal([]byte(line), &one); err != nil {
		answer.Error = err.Error()
	} else {
		answer = oracleRun(oracleContext(), one)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return `{"error":"unreadable"}`
	}
	return string(text)
}

func oracleRun(ctx context.Context, one oracleCase) (answer oracleAnswer) {
	defer func() {
		if r := recover(); r != nil {
			answer.Error = fmt.Sprint(r)
		}
	}()
	var wf wfv1.Workflow
	if err := json.Unmarshal(one.Workflow, &wf); err != nil {
		return oracleAnswer{Error: err.Error()}
	}
	random := rand.New(rand.NewSource(one.Seed))
	objects := []interface{}{&wf}
	for i := range one.Templates {
		objects = append(objects, &one.Templates[i])
	}
	cancel, controller := oracleController(ctx, objects...)
	defer cancel()
	// The recorder of the controller's tests blocks after 64 Events.
	controller.eventRecorderManager = &testEventRecorderManager{eventRecorder: &record.FakeRecorder{}}
	// As the API server does; the controller takes a pod without a phase for an error.
	controller.kubeclientset.(*fake.Clientset).PrependReactor("create", "pods", func(action kubetesting.Action) (bool, runtime.Object, error) {
		action.(kubetesting.CreateAction).GetObject().(*apiv1.Pod).Status.Phase = apiv1.PodPending
		return false, nil, nil
	})
	run := &oracleRunning{controller: controller, random: random, number: one.Number, isBehind: one.Behind, others: rand.New(rand.NewSource(one.Seed))}
	if one.Behind {
		run.listen(ctx)
	}
	answer, ended := run.operate(ctx, &wf, oracleFails)
	if ended.Status.Phase == wfv1.WorkflowFailed {
		failed := ended.DeepCopy()
		retried := run.retry(ctx, ended)
		answer.Retried = &retried
		resubmitted := run.resubmit(ctx, failed)
		answer.Resubmitted = &resubmitted
	}
	return answer
}

// oracleRunning is one run of one workflow.
type oracleRunning struct {
	controller *WorkflowController
	random     *rand.Rand
	number     int
	isBehind   bool
	// The workflow goes on from another one.
	isResubmitted bool
	// Says which writes of the workflow meet one of somebody else.
	others *rand.Rand
	// The look that is under way.
	woc *wfOperationCtx
}

type oraclePod struct {
	NodeID string `json:"nodeID"`
	Key    string `json:"key"`
	Cache  string `json:"cache"`
}

// listen stands for the webhook: it sees each write of the workflow before it is stored. One in four is not stored then, because
// somebody else has written the workflow meanwhile: the controller applies what it wanted to the newer one, and writes again.
func (run *oracleRunning) listen(ctx context.Context) {
	client := run.controller.wfclientset.(*fakewfclientset.Clientset)
	isConflict := false
	client.PrependReactor("update", "workflows", func(action kubetesting.Action) (bool, runtime.Object, error) {
		wf := action.(kubetesting.UpdateAction).GetObject().(*wfv1.Workflow)
		if run.woc == nil {
			return false, nil, nil
		}
		waiting := run.waiting(ctx)
		question, err := json.Marshal(map[string]interface{}{"number": run.number, "workflow": wf, "pods": waiting})
		if err != nil {
			panic(err)
		}
		response, err := http.Post(os.Getenv("STEPMEMO_ORACLE_RESOLVER"), "application/json", bytes.NewReader(question))
		if err != nil {
			panic(err)
		}
		defer response.Body.Close()
		var resolved struct {
			Workflow wfv1.Workflow `json:"workflow"`
			Ended    []string      `json:"ended"`
		}
		if err := json.NewDecoder(response.Body).Decode(&resolved); err != nil {
			panic(err)
		}
		*wf = resolved.Workflow
		for _, nodeID := range resolved.Ended {
			run.endHit(ctx, nodeID)
			oracleMarkComplete(ctx, wf, nodeID)
		}
		isConflict = !isConflict && run.others.Intn(oracleConflictOneIn) == 0
		if isConflict {
			oracleWriteByAnother(client, wf)
			return true, nil, apierr.NewConflict(oracleWorkflows.GroupResource(), wf.Name, errors.New("somebody else has written it"))
		}
		return false, nil, nil
	})
}

// oracleWriteByAnother goes past the client, which is locked while it writes.
func oracleWriteByAnother(client *fakewfclientset.Clientset, wf *wfv1.Workflow) {
	stored, err := client.Tracker().Get(oracleWorkflows, wf.Namespace, wf.Name)
	if err != nil {
		panic(err)
	}
	other := stored.(*wfv1.Workflow).DeepCopy()
	metav1.SetMetaDataAnnotation(&other.ObjectMeta, "written-by", "somebody else")
	if err := client.Tracker().Update(oracleWorkflows, other, wf.Namespace); err != nil {
		panic(err)
	}
}

// waiting names the pods of which the webhook may know that they end as hits.
func (run *oracleRunning) waiting(ctx context.Context) []oraclePod {
	waiting := []oraclePod{}
	for _, pod := range run.pods(ctx) {
		if key, isKeyed := pod.Annotations["stepmemo.io/key"]; isKeyed && pod.Status.Phase == apiv1.PodPending {
			waiting = append(waiting, oraclePod{NodeID: run.woc.nodeID(&pod), Key: key, Cache: pod.Annotations["stepmemo.io/cache"]})
		}
	}
	return waiting
}

func (run *oracleRunning) endHit(ctx context.Context, nodeID string) {
	for _, pod := range run.pods(ctx) {
		if run.woc.nodeID(&pod) == nodeID && pod.Status.Phase == apiv1.PodPending {
			if err := oraclePods(run.controller).Add(pod.DeepCopy()); err != nil {
				panic(err)
			}
			oracleFinishPod(ctx, run.woc, &pod, func(*wfv1.NodeStatus) bool { return false })
		}
	}
}

func (run *oracleRunning) pods(ctx context.Context) []apiv1.Pod {
	list, err := run.controller.kubeclientset.CoreV1().Pods(run.woc.wf.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		panic(err)
	}
	return list.Items
}

// stored is what the next look begins with: what was written, or what the webhook made of it.
func (run *oracleRunning) stored(ctx context.Context) *wfv1.Workflow {
	if !run.isBehind {
		return run.woc.wf
	}
	wf, err := run.controller.wfclientset.ArgoprojV1alpha1().Workflows(run.woc.wf.Namespace).Get(ctx, run.woc.wf.Name, metav1.GetOptions{})
	if err != nil {
		panic(err)
	}
	return wf
}

// retry does what `argo retry` does; nothing fails any more.
func (run *oracleRunning) retry(ctx context.Context, ended *wfv1.Workflow) oracleAnswer {
	controller := run.controller
	run.woc = nil
	wf, pods, err := wfutil.FormulateRetryWorkflow(ctx, ended, false, "", nil)
	if err != nil {
		return oracleAnswer{Error: err.Error()}
	}
	client := controller.kubeclientset.CoreV1().Pods(wf.Namespace)
	for _, name := range pods {
		_ = client.Delete(ctx, name, metav1.DeleteOptions{})
		oracleForget(oraclePods(controller), wf.Namespace, name)
	}
	stored, err := controller.wfclientset.ArgoprojV1alpha1().Workflows(wf.Namespace).Update(ctx, wf, metav1.UpdateOptions{})
	if err != nil {
		return oracleAnswer{Error: err.Error()}
	}
	answer, _ := run.operate(ctx, stored, func(*wfv1.NodeStatus) bool { return false })
	return answer
}

// resubmit does what `argo resubmit --memoized` does: a new workflow that begins with the nodes of this one. Nothing fails any more.
func (run *oracleRunning) resubmit(ctx context.Context, ended *wfv1.Workflow) (resubmitted oracleAnswer) {
	// Argo panics here now and then, by the order in which it goes through a map.
	defer func() {
		if r := recover(); r != nil {
			resubmitted = oracleAnswer{Error: fmt.Sprint(r)}
		}
	}()
	run.woc, run.isResubmitted = nil, true
	wf, err := wfutil.FormulateResubmitWorkflow(ctx, ended, true, nil)
	if err != nil {
		return oracleAnswer{Error: err.Error()}
	}
	wf.Namespace, wf.UID = ended.Namespace, "resubmitted"
	for _, pod := range oraclePods(run.controller).List() {
		name := pod.(*apiv1.Pod).Name
		_ = run.controller.kubeclientset.CoreV1().Pods(wf.Namespace).Delete(ctx, name, metav1.DeleteOptions{})
		oracleForget(oraclePods(run.controller), wf.Namespace, name)
	}
	stored, err := run.controller.wfclientset.ArgoprojV1alpha1().Workflows(wf.Namespace).Create(ctx, wf, metav1.CreateOptions{})
	if err != nil {
		return oracleAnswer{Error: err.Error()}
	}
	answer, _ := run.operate(ctx, stored, func(*wfv1.NodeStatus) bool { return false })
	// Its name is a random one.
	text, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	renamed := oracleAnswer{}
	if err := json.Unmarshal(bytes.ReplaceAll(text, []byte(wf.Name), []byte(ended.Name)), &renamed); err != nil {
		panic(err)
	}
	return renamed
}

// oracleAwait waits until the informer knows the pod's end: whatever is put into its store is undone by an event of a moment ago.
func oracleAwait(store cache.Store, pod *apiv1.Pod) {
	oracleUntil(func() bool {
		known, isThere, _ := store.GetByKey(pod.Namespace + "/" + pod.Name)
		return isThere && known.(*apiv1.Pod).Status.Phase == pod.Status.Phase
	}, func() { _ = store.Update(pod) })
}

// oracleForget waits until the informer knows that the pod is gone.
func oracleForget(store cache.Store, namespace string, name string) {
	oracleUntil(func() bool {
		_, isThere, _ := store.GetByKey(namespace + "/" + name)
		return !isThere
	}, func() {
		_ = store.Delete(&apiv1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}})
	})
}

// oracleUntil waits for a condition, and sees to it itself where that takes too long.
func oracleUntil(condition func() bool, otherwise func()) {
	for i := 0; i < 2000; i++ {
		if condition() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	otherwise()
}

func (run *oracleRunning) operate(ctx context.Context, wf *wfv1.Workflow, fails func(*wfv1.NodeStatus) bool) (oracleAnswer, *wfv1.Workflow) {
	answer := oracleAnswer{}
	looks := oracleLooks
	if run.isResubmitted {
		looks = oracleResubmittedLooks
	}
	run.woc = oracleOperation(ctx, wf, run.controller)
	idle := 0
	for answer.Looks < looks {
		run.woc.operate(ctx)
		answer.Looks++
		if run.woc.wf.Status.Fulfilled() {
			break
		}
		run.woc.wf = run.stored(ctx)
		if oracleFinishPods(ctx, run.woc, run.random, fails) {
			idle = 0
		} else if idle++; idle >= oracleIdleLooks {
			break
		}
		run.woc = oracleOperation(ctx, run.woc.wf, run.controller)
	}
	ended := run.woc.wf
	answer.Pods = len(run.pods(ctx))
	answer.Phase, answer.Message = string(ended.Status.Phase), ended.Status.Message
	answer.Nodes = oracleNodes(ended)
	return answer, ended
}

// oracleFinishPods ends some of the pods that run, in an order that the seed decides; at least one, so that it gets on. False where
// none runs.
func oracleFinishPods(ctx context.Context, woc *wfOperationCtx, random *rand.Rand, fails func(*wfv1.NodeStatus) bool) bool {
	client := woc.controller.kubeclientset.CoreV1().Pods(woc.wf.Namespace)
	list, err := client.List(ctx, metav1.ListOptions{})
	if err != nil {
		panic(err)
	}
	open := []apiv1.Pod{}
	for _, pod := range list.Items {
		if err := oraclePods(woc.controller).Add(pod.DeepCopy()); err != nil {
			panic(err)
		}
		if pod.Status.Phase != apiv1.PodSucceeded && pod.Status.Phase != apiv1.PodFailed {
			open = append(open, pod)
		}
	}
	sort.Slice(open, func(i, j int) bool { return open[i].Name < open[j].Name })
	random.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	if len(open) == 0 {
		// An event of a moment ago has put an older state of a pod back; the newer one is on its way.
		time.Sleep(time.Millisecond)
	}
	for i := range open {
		if i == 0 || random.Intn(2) == 0 {
			oracleFinishPod(ctx, woc, &open[i], fails)
		}
	}
	return len(open) > 0
}

func oracleFinishPod(ctx context.Context, woc *wfOperationCtx, pod *apiv1.Pod, fails func(*wfv1.NodeStatus) bool) {
	node, err := woc.wf.Status.Nodes.Get(woc.nodeID(pod))
	if err != nil {
		panic(err)
	}
	pod.Status.Phase = apiv1.PodSucceeded
	if fails(node) {
		pod.Status.Phase = apiv1.PodFailed
		pod.Status.Message = "it fails"
	} else {
		oracleReport(woc, node.ID, oracleOutputs(woc, node, pod))
	}
	oracleEndContainers(woc, pod, node.Name)
	updated, err := woc.controller.kubeclientset.CoreV1().Pods(pod.Namespace).Update(ctx, pod, metav1.UpdateOptions{})
	if err != nil {
		panic(err)
	}
	oracleAwait(oraclePods(woc.controller), updated)
	oracleMarkComplete(ctx, woc.wf, node.ID)
}

// oracleEndContainers: the containers of a containerSet are nodes of their own, which end with the pod.
func oracleEndContainers(woc *wfOperationCtx, pod *apiv1.Pod, nodeName string) {
	code := int32(0)
	if pod.Status.Phase == apiv1.PodFailed {
		code = 1
	}
	for _, container := range pod.Spec.Containers {
		if woc.wf.Status.Nodes.Has(woc.wf.NodeID(nodeName + "." + container.Name)) {
			terminated := &apiv1.ContainerStateTerminated{ExitCode: code}
			pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, apiv1.ContainerStatus{
				Name: container.Name, State: apiv1.ContainerState{Terminated: terminated},
			})
		}
	}
}

// oracleReport puts the task result where the controller's informer would: by its watch it comes at any time, or never.
func oracleReport(woc *wfOperationCtx, nodeID string, outputs wfv1.Outputs) {
	result := &wfv1.WorkflowTaskResult{
		ObjectMeta: metav1.ObjectMeta{
			Name: nodeID, Namespace: woc.wf.Namespace,
			Labels: map[string]string{common.LabelKeyWorkflow: woc.wf.Name, "workflows.argoproj.io/report-outputs-completed": "true"},
		},
		NodeResult: wfv1.NodeResult{Phase: wfv1.NodeSucceeded, Outputs: &outputs},
	}
	if err := woc.controller.taskResultInformer.GetIndexer().Add(result); err != nil {
		panic(err)
	}
}

// oracleFails: steps of the template `fragile` fail for one input in four; test/support/oracle-workflows.ts knows the rule too.
func oracleFails(node *wfv1.NodeStatus) bool {
	return strings.Contains(node.TemplateName, "fragile") && oracleHash(oracleInput(node))%4 == 0
}

func oracleHash(text string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(text))
	return h.Sum32()
}

func oracleInput(node *wfv1.NodeStatus) string {
	if node.Inputs == nil {
		return ""
	}
	for _, p := range node.Inputs.Parameters {
		if p.Name == "x" {
			return p.Value.String()
		}
	}
	return ""
}

// oracleOutputs: every output is the key that Argo wrote on the pod and a plus sign, the result the length of the key in bytes.
// A step without a key takes its input.
func oracleOutputs(woc *wfOperationCtx, node *wfv1.NodeStatus, pod *apiv1.Pod) wfv1.Outputs {
	x, isKeyed := pod.Annotations["stepmemo.io/key"]
	if !isKeyed {
		x = oracleInput(node)
	}
	outputs := wfv1.Outputs{}
	value := wfv1.AnyString(x + "+")
	outputs.Parameters = []wfv1.Parameter{{Name: "o", Value: &value, ValueFrom: &wfv1.ValueFrom{Path: "/tmp/o"}}}
	for _, container := range pod.Spec.Containers {
		for _, env := range container.Env {
			if env.Name == "ARGO_INCLUDE_SCRIPT_OUTPUT" && env.Value == "true" {
				result := fmt.Sprint(len(x))
				outputs.Result = &result
			}
		}
	}
	return outputs
}

func oracleNodes(wf *wfv1.Workflow) []oracleNode {
	nodes := []oracleNode{}
	names := func(ids []string) []string {
		list := []string{}
		for _, id := range ids {
			if node, err := wf.Status.Nodes.Get(id); err == nil {
				list = append(list, node.Name)
			} else {
				list = append(list, "missing "+id)
			}
		}
		sort.Strings(list)
		return list
	}
	for _, node := range wf.Status.Nodes {
		one := oracleNode{Name: node.Name, Type: string(node.Type), Phase: string(node.Phase), Message: node.Message, Template: node.TemplateName, Scope: node.TemplateScope, Display: node.DisplayName, Children: names(node.Children), Outbound: names(node.OutboundNodes), Inputs: []string{}, Outputs: []string{}}
		if ref := node.TemplateRef; ref != nil {
			one.Template = fmt.Sprintf("%s/%s %v", ref.Name, ref.Template, ref.ClusterScope)
		}
		if node.BoundaryID != "" {
			one.Boundary = names([]string{node.BoundaryID})[0]
		}
		if node.Inputs != nil {
			for _, p := range node.Inputs.Parameters {
				one.Inputs = append(one.Inputs, fmt.Sprintf("%s=%s", p.Name, p.Value.String()))
			}
		}
		if node.Outputs != nil {
			for _, p := range node.Outputs.Parameters {
				one.Outputs = append(one.Outputs, fmt.Sprintf("%s=%s", p.Name, p.Value.String()))
			}
			if node.Outputs.Result != nil {
				one.Outputs = append(one.Outputs, "result "+*node.Outputs.Result)
			}
		}
		nodes = append(nodes, one)
	}
	sort.Slice(nodes, func(i, j int) bool { return nodes[i].Name < nodes[j].Name })
	return nodes
}
